"""What goes wrong and whose words the user gets to read."""

from __future__ import annotations

import json
import ssl
import stat
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.root


def pod(name: str, /, **container: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "busybox:1.28", "command": ["sleep", "60"]} | container]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers},
    }


def state_of(podspace: Server, name: str) -> dict[str, Any]:
    found: dict[str, Any] = podspace.pod(name)["status"]["containerStatuses"][0]
    return found


def test_an_image_that_is_not_there_is_told_in_the_registrys_words(podspace: Server) -> None:
    podspace.apply(pod("noimage", image="nosuch:1.0"))
    found = podspace.wait_for("noimage", "{.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff")
    waiting = found["status"]["containerStatuses"][0]["state"]["waiting"]
    assert 'Back-off pulling image "nosuch:1.0"' in waiting["message"]
    assert "docker.io/library/nosuch:1.0" in waiting["message"]
    events = podspace.kubectl("describe", "pod", "noimage").partition("Events:")[2]
    assert 'Failed to pull image "nosuch:1.0"' in events
    assert "Error: ErrImagePull" in events
    assert podspace.pod("noimage")["status"]["phase"] == "Pending"
    podspace.kubectl("delete", "pod", "noimage")


def test_a_program_that_is_not_there_is_told_in_the_oci_runtimes_words(podspace: Server) -> None:
    podspace.apply(pod("noprogram", command=["/no/such/program"]))
    podspace.wait_for("noprogram", "{.status.containerStatuses[0].lastState.terminated.reason}=StartError")
    ended = state_of(podspace, "noprogram")["lastState"]["terminated"]
    assert ended["exitCode"] == 128
    assert "/no/such/program" in ended["message"]
    podspace.kubectl("delete", "pod", "noprogram")


def test_a_config_map_that_is_missing_is_named_and_its_coming_starts_the_container(podspace: Server) -> None:
    source = {"configMapKeyRef": {"name": "later", "key": "k"}}
    podspace.apply(pod("waits", env=[{"name": "K", "valueFrom": source}]))
    podspace.wait_for("waits", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    assert state_of(podspace, "waits")["state"]["waiting"]["message"] == 'configmap "later" not found'
    podspace.kubectl("create", "configmap", "later", "--from-literal=k=v")
    podspace.wait_ready("waits", seconds=9)
    assert podspace.exec("waits", "c", "sh", "-c", "echo $K") == "v\n"
    podspace.kubectl("delete", "pod/waits", "configmap/later")


def test_a_field_that_is_not_honoured_yet_is_named_and_the_pod_is_not_run(podspace: Server) -> None:
    podspace.apply(pod("labelled", securityContext={"seLinuxOptions": {"type": "me"}}))
    podspace.wait_for("labelled", "{.status.conditions[0].reason}=Unschedulable")
    assert "spec.containers[0].securityContext.seLinuxOptions.type" in podspace.kubectl("describe", "pod", "labelled")
    podspace.kubectl("delete", "pod", "labelled")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nmae": "x"}, 'unknown field "spec.containers[0].nmae"'),
        ({"name": "A"}, 'spec.containers[0].name: Invalid value: "A"'),
        ({"image": ""}, "spec.containers[0].image: Required value"),
        ({"tty": "yes"}, "cannot unmarshal string into Go struct field Container.spec.containers.tty of type bool"),
    ],
)
def test_a_bad_manifest_is_refused_with_the_fields_path(podspace: Server, change: dict[str, Any], words: str) -> None:
    done = podspace.run("kubectl", "apply", "-f", "-", stdin=json.dumps(pod("bad", **change)), check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert podspace.run("kubectl", "get", "pod", "bad", check=False).returncode == 1


def test_without_a_certificate_there_is_401_and_health_is_open(podspace: Server) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    base = f"https://127.0.0.1:{podspace.port}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(base + "/api/v1/pods", context=context)
    with refused.value as answer:
        assert answer.code == 401
        assert json.load(answer)["reason"] == "Unauthorized"
    with urllib.request.urlopen(base + "/healthz", context=context) as answer:
        assert answer.read() == b"ok"


def test_the_kubeconfig_is_for_root_only(podspace: Server) -> None:
    assert stat.S_IMODE(podspace.kubeconfig.stat().st_mode) == 0o600


def test_a_second_server_on_the_same_root_says_why_it_does_not_start(podspace: Server) -> None:
    second = Server(root=podspace.root, port=podspace.port + 1)
    with pytest.raises(AssertionError, match="another"):
        second.start()
