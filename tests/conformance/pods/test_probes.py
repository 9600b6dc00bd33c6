"""Probes against real containers: who is ready, who is killed, and what is told of it, as a kubelet would have it."""

from __future__ import annotations

import json
import re
from concurrent import futures
from typing import Any

import grpc
import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; while :; do sleep 0.05; done"


def exec_probe(script: str, **fields: Any) -> pods.Manifest:
    base = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10}  # the machine may have much else to do
    return {"exec": {"command": ["sh", "-c", script]}} | base | fields


def nginx(name: str = "c", **fields: Any) -> pods.Manifest:
    return {"name": name, "image": "nginx", "ports": [{"name": "web", "containerPort": 80}]} | fields


def conditions(node: Server, name: str) -> dict[str, tuple[str, str, str]]:
    found = node.pod(name)["status"]["conditions"]
    return {c["type"]: (c["status"], c.get("reason", ""), c.get("message", "")) for c in found}


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server) -> None:
    """Pods that need nothing but to be looked at later, so that their seconds pass at the same time."""
    pods.create(
        node,
        pod("live", box(f"touch /ok; {FOREVER}", livenessProbe=exec_probe("cat /ok", failureThreshold=3)), restartPolicy="Always"),
        pod("live-never", box(FOREVER, livenessProbe=exec_probe("echo sick; exit 3"))),
        pod("live-onfailure", box(FOREVER, livenessProbe=exec_probe("exit 3", initialDelaySeconds=1)), restartPolicy="OnFailure"),
        pod("probe-ready", box(FOREVER, readinessProbe=exec_probe("cat /ready")), restartPolicy="Always"),
        pod("probe-slow", box(FOREVER, livenessProbe=exec_probe("sleep 60", timeoutSeconds=1), readinessProbe=exec_probe("exit 1"))),
        pod("probe-none", box(FOREVER, livenessProbe=exec_probe("") | {"exec": {"command": ["/no/such"]}})),
        pod("startup", startup_box(), restartPolicy="Always"),
        pod("startup-fails", box(FOREVER, startupProbe=exec_probe("exit 1", failureThreshold=2)), restartPolicy="Always"),
        pod(
            "graces",
            box(DEAF, livenessProbe=exec_probe("exit 1", terminationGracePeriodSeconds=1)),
            restartPolicy="Never",
            terminationGracePeriodSeconds=600,
        ),
        pod("http", nginx(readinessProbe=http_probe("/", headers=[{"name": "X-Forwarded-For", "value": "a probe"}]))),
        pod(
            "http-bad",
            nginx(readinessProbe=http_probe("/none", port="web"), livenessProbe=http_probe("/", port=81) | {"failureThreshold": 5}),
        ),
        pod("sockets", nginx(readinessProbe={"tcpSocket": {"port": "web"}}, livenessProbe={"tcpSocket": {"port": 80}})),
        pod("socket-closed", box(FOREVER, readinessProbe={"tcpSocket": {"port": 7}}, livenessProbe={"tcpSocket": {"port": "no"}})),
        pod("gates", box(FOREVER), readinessGates=[{"conditionType": "example.com/lb"}, {"conditionType": "example.com/dns"}]),
        pod("probe-sidecar", box("cat /w/up; sleep 0.1", volumeMounts=MOUNT), initContainers=[slow_sidecar()], volumes=WORK),
    )


WORK = [{"name": "w", "emptyDir": {}}]
MOUNT = [{"name": "w", "mountPath": "/w"}]


def http_probe(path: str, *, port: int | str = 80, headers: list[dict[str, str]] | None = None) -> pods.Manifest:
    return {"httpGet": {"path": path, "port": port, "httpHeaders": headers or []}, "periodSeconds": 1, "failureThreshold": 1}


def startup_box() -> pods.Manifest:
    """Its liveness probe would kill it at once, its readiness probe would find it ready at once."""
    startup = exec_probe("cat /up", failureThreshold=600)
    return box(FOREVER, startupProbe=startup, livenessProbe=exec_probe("cat /up"), readinessProbe=exec_probe("true"))


def slow_sidecar() -> pods.Manifest:
    startup = exec_probe("cat /w/up", failureThreshold=60)
    return box(f"sleep 2; echo up > /w/up; {FOREVER}", "side", volumeMounts=MOUNT, restartPolicy="Always", startupProbe=startup)


def test_a_container_that_fails_its_liveness_probe_is_restarted(node: Server) -> None:
    node.wait_ready("live")
    node.exec("live", "c", "rm", "/ok")
    node.wait_for("live", "{.status.containerStatuses[0].restartCount}=1")
    node.wait_ready("live")
    pods.wait_told(node, "live", "Killing")
    story = pods.told(node, "live")
    words = "Liveness probe failed: cat: can't open '/ok': No such file or directory\n"
    assert ("Unhealthy", words) in story
    assert story.index(("Unhealthy", words)) < story.index(("Killing", "Container c failed liveness probe, will be restarted"))
    assert next(e for e in pods.events(node, "live") if e["reason"] == "Unhealthy")["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert pods.container_status(node, "live")["lastState"]["terminated"]["exitCode"] == 0


def test_one_that_may_run_once_fails_its_pod(node: Server) -> None:
    node.wait_for("live-never", "{.status.containerStatuses[0].state.terminated.exitCode}=0")
    pods.wait_told(node, "live-never", "Killing")
    story = pods.told(node, "live-never")
    assert ("Unhealthy", "Liveness probe failed: sick\n") in story
    assert ("Killing", "Container c failed liveness probe") in story


def test_one_that_is_killed_by_its_probe_has_failed_whatever_its_exit_code(node: Server) -> None:
    node.wait_for("live-onfailure", "{.status.containerStatuses[0].lastState.terminated.exitCode}=0")


def test_readiness_comes_and_goes_and_restarts_nothing(node: Server) -> None:
    node.wait_for("probe-ready", "{.status.containerStatuses[0].started}=true")
    assert conditions(node, "probe-ready")["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [c]")
    assert conditions(node, "probe-ready")["ContainersReady"] == conditions(node, "probe-ready")["Ready"]
    node.exec("probe-ready", "c", "touch", "/ready")
    node.wait_ready("probe-ready")
    assert conditions(node, "probe-ready")["Ready"] == ("True", "", "")
    node.exec("probe-ready", "c", "rm", "/ready")
    node.wait_for("probe-ready", "{.status.containerStatuses[0].ready}=false")
    found = pods.container_status(node, "probe-ready")
    assert (found["restartCount"], found["started"], "running" in found["state"]) == (0, True, True)
    assert "0/1" in node.kubectl("get", "pod", "probe-ready")


def test_a_probe_that_takes_too_long_has_failed(node: Server) -> None:
    node.wait_for("probe-slow", "{.status.containerStatuses[0].state.terminated.exitCode}=0")
    words = 'Liveness probe failed: command timed out: "sh -c sleep 60" timed out after 1s'
    pods.wait_told(node, "probe-slow", "Killing")
    assert ("Unhealthy", words) in pods.told(node, "probe-slow")


def test_a_probe_that_cannot_be_made_kills_nobody(node: Server) -> None:
    pods.wait_told(node, "probe-none", "Unhealthy")
    story = dict(pods.told(node, "probe-none"))
    assert story["Unhealthy"].startswith("Liveness probe errored and resulted in unknown state: ")
    assert "/no/such" in story["Unhealthy"]
    assert pods.container_status(node, "probe-none")["ready"] is True


def test_a_startup_probe_holds_back_the_others(node: Server) -> None:
    node.wait_for("startup", "{.status.containerStatuses[0].started}=false")
    assert pods.container_status(node, "startup")["ready"] is False
    node.exec("startup", "c", "touch", "/up")
    node.wait_ready("startup")
    found = pods.container_status(node, "startup")
    assert (found["started"], found["restartCount"]) == (True, 0)
    assert all("Startup" in message for reason, message in pods.told(node, "startup") if reason == "Unhealthy")


def test_a_container_that_never_gets_up_is_killed(node: Server) -> None:
    node.wait_for("startup-fails", "{.status.containerStatuses[0].lastState.terminated.exitCode}=0")
    pods.wait_told(node, "startup-fails", "Killing")
    assert ("Killing", "Container c failed startup probe, will be restarted") in pods.told(node, "startup-fails")


def test_a_probe_has_a_grace_of_its_own(node: Server) -> None:
    node.wait_for("graces", "{.status.containerStatuses[0].state.terminated.exitCode}=137", seconds=30)


def test_an_http_probe_asks_as_a_kubelet_does(node: Server) -> None:
    node.wait_ready("http")
    line = re.compile(r'"GET / HTTP/1.1" 200 \d+ "-" "kube-probe/1.36" "a probe"')
    pods.eventually(lambda: node.kubectl("logs", "http"), lambda log: line.search(log) is not None)  # nginx answers, and then writes
    pods.wait_told(node, "http-bad", "Killing")
    told = pods.told(node, "http-bad")
    assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404") in told
    address = r"\d+\.\d+\.\d+\.\d+:81"
    refused = rf'Liveness probe failed: Get "http://{address}/": dial tcp {address}: connect: connection refused'
    assert any(re.fullmatch(refused, message) for _, message in told), told


def test_a_socket_and_a_named_port_are_probed(node: Server) -> None:
    node.wait_ready("sockets")
    pods.wait_told(node, "socket-closed", "Unhealthy")
    node.wait_for("socket-closed", "{.status.containerStatuses[0].started}=true")
    messages = pods.eventually(
        lambda: {message for reason, message in pods.told(node, "socket-closed") if reason == "Unhealthy"}, lambda told: len(told) == 2
    )
    assert any(re.fullmatch(r"Readiness probe failed: dial tcp \d+\.\d+\.\d+\.\d+:7: connect: connection refused", m) for m in messages)
    assert 'Liveness probe errored and resulted in unknown state: strconv.Atoi: parsing "no": invalid syntax' in messages
    assert pods.container_status(node, "socket-closed")["restartCount"] == 0


class Health(grpc.GenericRpcHandler):
    """grpc.health.v1 in few words: healthy is the service named ``good``."""

    def service(self, details: Any) -> Any:
        if details.method != "/grpc.health.v1.Health/Check":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: b"\x08\x01" if request == b"\n\x04good" else b"\x08\x02")


def test_a_grpc_service_is_asked_for_its_health(node: Server) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Health(),))
    host = json.loads(node.kubectl("get", "nodes", "-o", "json"))["items"][0]["status"]["addresses"][0]["address"]
    port = server.add_insecure_port(f"{host}:0")
    server.start()
    try:
        good = {"grpc": {"port": port, "service": "good"}, "periodSeconds": 1}
        bad = {"grpc": {"port": port, "service": "bad"}, "periodSeconds": 1}
        pods.create(node, pod("grpc", box(FOREVER, "a", readinessProbe=good), box(FOREVER, "b", readinessProbe=bad), hostNetwork=True))
        node.wait_for("grpc", "{.status.containerStatuses[0].ready}=true")
        pods.wait_told(node, "grpc", "Unhealthy")
        assert ("Unhealthy", 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")') in pods.told(node, "grpc")
        assert pods.container_status(node, "grpc", "b")["ready"] is False
    finally:
        server.stop(0).wait()


def test_readiness_gates_wait_for_conditions_of_others(node: Server) -> None:
    node.wait_for("gates", "{.status.containerStatuses[0].ready}=true")
    missing = 'corresponding condition of pod readiness gate "example.com/{}" does not exist.'
    assert conditions(node, "gates")["Ready"] == (
        "False",
        "ReadinessGatesNotReady",
        f"{missing.format('lb')}, {missing.format('dns')}",
    )
    assert conditions(node, "gates")["ContainersReady"] == ("True", "", "")
    set_conditions(node, "gates", {"example.com/lb": "True", "example.com/dns": "False"})
    node.wait_for(
        "gates",
        '{.status.conditions[?(@.type=="Ready")].message}=' + 'the status of pod readiness gate "example.com/dns" is not "True", but False',
    )
    set_conditions(node, "gates", {"example.com/lb": "True", "example.com/dns": "True"})
    node.wait_ready("gates")


def set_conditions(node: Server, name: str, wanted: dict[str, str]) -> None:
    patch = {"status": {"conditions": [{"type": kind, "status": status} for kind, status in wanted.items()]}}
    node.kubectl("patch", "pod", name, "--subresource=status", "--type=strategic", "-p", json.dumps(patch))


def test_a_sidecar_that_has_not_started_holds_back_the_pod(node: Server) -> None:
    assert pods.output(node, "probe-sidecar") == ["up"]
    side = pods.container_status(node, "probe-sidecar", "side")["state"]["terminated"]
    assert side["startedAt"] < pods.container_status(node, "probe-sidecar")["state"]["terminated"]["startedAt"]


def test_while_a_pod_ends_its_readiness_is_still_of_interest_and_its_liveness_is_not(node: Server) -> None:
    script = "touch /ready; trap 'rm /ready' TERM; while :; do sleep 0.05; done"
    probed = box(script, readinessProbe=exec_probe("cat /ready"), livenessProbe=exec_probe("cat /ready"))
    pods.create(node, pod("ending", probed, restartPolicy="Always", terminationGracePeriodSeconds=300))
    node.wait_ready("ending")
    node.kubectl("delete", "pod", "ending", "--wait=false")
    node.wait_for("ending", "{.status.containerStatuses[0].ready}=false")
    assert conditions(node, "ending")["Ready"][0] == "False"
    assert not [words for _, words in pods.told(node, "ending") if "Liveness" in words]
    node.kubectl("delete", "pod", "ending", "--now")
