"""Images as a Pod asks for them: policies, back-off, names that are none, registries that want a password."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pods, server
from tests.support.pods import box, pod
from tests.support.server import Server
from tools import registry

pytestmark = pytest.mark.root

PASSWORD = "correct horse"
HTPASSWD = "user:$2b$05$ToBoLFSslPCsFJjxtCnPsemTJmvlWEG230EWKbN7rRuWNnPPQdGxK\n"  # bcrypt of PASSWORD


def waiting(node: Server, name: str, reason: str) -> str:
    found = node.wait_for(name, f"{{.status.containerStatuses[0].state.waiting.reason}}={reason}")
    return str(found["status"]["containerStatuses"][0]["state"]["waiting"]["message"])


def test_a_normal_life_is_told_in_a_kubelets_words(node: Server) -> None:
    pods.create(
        node, pod("told", box("trap 'exit 0' TERM; while :; do sleep 0.05; done", image="busybox:latest", imagePullPolicy="Always"))
    )
    node.wait_ready("told")
    uid = node.pod("told")["metadata"]["uid"]
    node.kubectl("delete", "pod", "told")
    found = [event for event in pods.events(node, "told") if event["involvedObject"]["uid"] == uid]
    host = node.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    assert [event["reason"] for event in found] == ["Scheduled", "Pulling", "Pulled", "Created", "Started", "Killing"]
    assert {event["type"] for event in found} == {"Normal"}
    assert found[0]["source"] == {"component": "default-scheduler"}
    for event in found[1:]:
        assert event["source"] == {"component": "kubelet", "host": host}
        assert event["involvedObject"].items() >= {"fieldPath": "spec.containers{c}", "kind": "Pod", "apiVersion": "v1"}.items()
        assert (event["reportingComponent"], event["reportingInstance"], event["count"]) == ("kubelet", host, 1)
    messages = [event["message"] for event in found]
    assert messages[0] == f"Successfully assigned default/told to {host}"
    assert messages[1] == 'Pulling image "busybox:latest"'
    assert messages[2].startswith('Successfully pulled image "busybox:latest" in ')
    assert messages[3:] == ["Container created", "Container started", "Stopping container c"]


def test_pull_policies(node: Server) -> None:
    pods.create(node, pod("pull-warm", box("true")))
    node.wait_for("pull-warm", "{.status.phase}=Succeeded")
    pods.create(
        node,
        pod("pull-always", box("true", imagePullPolicy="Always")),
        pod("pull-present", box("true", imagePullPolicy="IfNotPresent")),
        pod("pull-never", box("true", imagePullPolicy="Never")),
        pod("pull-never-absent", box("true", image="nosuch:3", imagePullPolicy="Never")),
    )
    for name in ("pull-always", "pull-present", "pull-never"):
        node.wait_for(name, "{.status.phase}=Succeeded")
    present = f'Container image "{pods.IMAGE}" already present on machine and can be accessed by the pod'
    assert "Pulling" in [reason for reason, _ in pods.told(node, "pull-always")]
    assert ("Pulled", present) in pods.told(node, "pull-present")
    assert ("Pulled", present) in pods.told(node, "pull-never")
    message = 'Container image "nosuch:3" is not present with pull policy of Never'
    assert waiting(node, "pull-never-absent", "ErrImageNeverPull") == message
    told = pods.told(node, "pull-never-absent")
    assert ("ErrImageNeverPull", message) in told
    assert ("Failed", "Error: ErrImageNeverPull") in told


def test_an_image_that_is_not_there(node: Server) -> None:
    pods.create(node, pod("absent", box("true", image="nosuch:4")))
    first = waiting(node, "absent", "ErrImagePull")
    assert "docker.io/library/nosuch:4" in first
    assert waiting(node, "absent", "ImagePullBackOff") == f'Back-off pulling image "nosuch:4": ErrImagePull: {first}'
    told = pods.told(node, "absent")
    assert told[1:] == [
        ("Pulling", 'Pulling image "nosuch:4"'),
        ("Failed", f'Failed to pull image "nosuch:4": {first}'),
        ("Failed", "Error: ErrImagePull"),
        ("BackOff", 'Back-off pulling image "nosuch:4"'),
        ("Failed", "Error: ImagePullBackOff"),
    ]


def test_a_name_that_is_none(node: Server) -> None:
    pods.create(node, pod("misnamed", box("true", image="Busybox:x")))
    message = waiting(node, "misnamed", "InvalidImageName")
    assert message.startswith('Failed to apply default image tag "Busybox:x"')
    told = pods.told(node, "misnamed")
    assert ("InspectFailed", message) in told
    assert ("Failed", "Error: InvalidImageName") in told


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Server, str]]:
    """A server of its own (no image is there yet) and a registry that lets in one user; the images are those of an open one."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    try:
        with registry.running(folder / "reg"):
            pass
        with registry.running(folder / "reg", with_images=False, htpasswd=HTPASSWD) as mirror:
            (folder / "conf").write_text(registry.conf_text(mirror.host, prefix=mirror.host))
            with server.running(folder / "r", registries_conf=folder / "conf") as running:
                yield running, mirror.host
                assert PASSWORD not in "".join(running.log)
    finally:
        shutil.rmtree(folder)


def secret(host: str, name: str, password: str) -> pods.Manifest:
    config = {"auths": {host: {"username": "user", "password": password}}}
    kind = "kubernetes.io/dockerconfigjson"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": kind,
        "stringData": {".dockerconfigjson": json.dumps(config)},
    }


def test_a_registry_that_wants_a_password(guarded: tuple[Server, str]) -> None:
    node, host = guarded
    image = f"{host}/library/busybox:1.28"
    pods.create(
        node,
        secret(host, "right", PASSWORD),
        secret(host, "wrong", "incorrect horse"),
        pod("refused", box("true", image=image), imagePullSecrets=[{"name": "wrong"}]),
        pod("anonymous", box("true", image=image), imagePullSecrets=[{"name": "none"}]),
    )
    for name in ("refused", "anonymous"):
        assert "401" in waiting(node, name, "ErrImagePull") or "authorization failed" in waiting(node, name, "ImagePullBackOff")
    pods.create(node, pod("let-in", box("true", image=image), imagePullSecrets=[{"name": "right"}]))
    node.run("kubectl", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/let-in", "--timeout=30s", check=False)
    assert node.pod("let-in")["status"]["phase"] == "Succeeded", "\n".join(m for _, m in pods.told(node, "let-in"))
    missing = "Unable to retrieve some image pull secrets (none); attempting to pull the image may not succeed."
    assert ("FailedToRetrieveImagePullSecret", missing) in pods.told(node, "anonymous")
    pods.create(node, pod("present", box("true", image=image, imagePullPolicy="IfNotPresent"), imagePullSecrets=[{"name": "none"}]))
    pods.wait_told(node, "present", "FailedToRetrieveImagePullSecret")  # a kubelet tells of them, needed or not
    everything = node.kubectl("get", "events,pods", "-A", "-o", "yaml") + "".join(node.log)
    assert PASSWORD not in everything
    assert "incorrect horse" not in everything
