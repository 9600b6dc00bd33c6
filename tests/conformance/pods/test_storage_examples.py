"""The documentation's manifests about volumes, applied as they stand: what their pages promise is what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.pods.test_volumes import claims_of
from tests.support import pods
from tests.support.server import REPO, Server

EXAMPLES = REPO.parent / "shared" / "examples"
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the documentation's examples lie beside the repository, if anywhere"),
]


def example(path: str, **changed: str) -> str:
    """A manifest, with words of it replaced: what a page tells its reader to change, or what a test must not do to its machine."""
    text = (EXAMPLES / path).read_text()
    for old, new in changed.items():
        text = text.replace(old.replace("__", "/"), new)
    return text


def secret(name: str, **data: str) -> pods.Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config(name: str, **data: str) -> pods.Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_a_page_served_from_a_persistent_volume(node: Server, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("Hello from Kubernetes storage")
    tmp_path.chmod(0o755)
    node.apply(example("pods/storage/pv-volume.yaml", __mnt__data=str(tmp_path)))
    node.apply(example("pods/storage/pv-claim.yaml"))
    node.apply(example("pods/storage/pv-pod.yaml"))
    node.wait_ready("task-pv-pod")
    assert node.kubectl("get", "pvc", "task-pv-claim", "--no-headers").split()[1:4] == ["Bound", "task-pv-volume", "10Gi"]
    assert node.exec("task-pv-pod", "task-pv-container", "cat", "/usr/share/nginx/html/index.html") == "Hello from Kubernetes storage"
    node.kubectl("delete", "pod/task-pv-pod", "pvc/task-pv-claim")
    node.kubectl("wait", "pv/task-pv-volume", "--for=jsonpath={.status.phase}=Released", "--timeout=30s")
    node.kubectl("delete", "pv/task-pv-volume")


def test_a_claim_that_grows_while_it_is_used(node: Server) -> None:
    node.apply(example("pods/storage/expandable-pvc.yaml"))
    node.apply(example("pods/storage/expandable-pvc-pod.yaml", **{"busybox:1.36": pods.IMAGE}))
    node.wait_ready("expandable-pvc-pod")
    node.kubectl("patch", "pvc", "expandable-pvc", "-p", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')
    node.kubectl("wait", "pvc/expandable-pvc", "--for=jsonpath={.status.capacity.storage}=2Gi", "--timeout=30s")
    node.kubectl("delete", "pod/expandable-pvc-pod", "pvc/expandable-pvc", "--grace-period=1")


def test_several_sources_projected_into_one_folder(node: Server) -> None:
    pods.create(
        node, secret("user", username="admin"), secret("pass", password="1f2d1e2e67df"), secret("mysecret", username="me"),
        config("myconfigmap", config="settings"),
    )  # fmt: skip
    node.apply(example("pods/storage/projected.yaml"))
    node.apply(example("pods/storage/projected-secret-downwardapi-configmap.yaml"))
    node.wait_ready("test-projected-volume")
    assert node.exec("test-projected-volume", "test-projected-volume", "ls", "/projected-volume") == "password\nusername\n"
    node.wait_ready("volume-test")
    cat = "cd /projected-volume && cat my-group/my-username my-group/my-config"
    assert node.exec("volume-test", "container-test", "sh", "-c", cat) == "mesettings"
    node.kubectl("delete", "pods", "test-projected-volume", "volume-test", "--grace-period=1")


def test_modes_of_projected_secrets(node: Server) -> None:
    pods.create(node, secret("mysecret", username="me"), secret("mysecret2", password="x"))
    node.apply(example("pods/storage/projected-secrets-nondefault-permission-mode.yaml"))
    node.wait_ready("volume-test")
    modes = node.exec("volume-test", "container-test", "sh", "-c", "cd /projected-volume/my-group; stat -L -c '%a %n' *")
    assert modes == "777 my-password\n644 my-username\n"
    node.kubectl("delete", "pod", "volume-test", "--grace-period=1")


def test_a_token_for_another_audience(node: Server) -> None:
    node.apply(example("pods/storage/projected-service-account-token.yaml"))
    node.wait_ready("sa-token-test")
    claims = claims_of(node.exec("sa-token-test", "container-test", "cat", "/service-account/token"))
    assert (claims["aud"], claims["sub"]) == (["api"], "system:serviceaccount:default:default")
    node.kubectl("delete", "pod", "sa-token-test", "--grace-period=1")


@pytest.mark.parametrize("path", ["pods/storage/projected-clustertrustbundle.yaml", "pods/storage/projected-podcertificate.yaml"])
def test_what_kubernetes_drops_keeps_the_pod_from_running(node: Server, path: str) -> None:
    node.apply(example(path))
    name = json.loads(node.kubectl("create", "--dry-run=client", "-o", "json", "-f", str(EXAMPLES / path)))["metadata"]["name"]
    assert "clusterTrustBundle and podCertificate" in pods.why_unscheduled(node, name)
    node.kubectl("delete", "pod", name)


def test_an_image_as_a_volume_and_a_folder_of_one(node: Server) -> None:
    for path, name in (("pods/image-volumes.yaml", "image-volume"), ("pods/image-volumes-subpath.yaml", "image-volume")):
        text = example(path, debian=pods.IMAGE, **{"quay.io/crio/artifact:v2": pods.IMAGE, 'subPath: "dir"': 'subPath: "bin"'})
        node.apply(text)
        node.wait_ready(name)
        shown = json.loads(node.kubectl("get", "pod", name, "-o", "json"))["spec"]["containers"][0]["volumeMounts"][0]
        listed = node.exec(name, "shell", "ls", shown["mountPath"])
        assert ("busybox" if shown.get("subPath") else "bin") in listed.split()
        node.kubectl("delete", "pod", name, "--grace-period=1")


def test_a_file_of_variables(node: Server) -> None:
    node.apply(example("pods/inject/envars-file-container.yaml"))
    node.wait_for("envfile-test-pod", "{.status.phase}=Succeeded")
    assert "DB_ADDRESS=address" in node.kubectl("logs", "envfile-test-pod", "-c", "use-envfile").splitlines()


def test_an_optional_secret_and_one_whose_key_begins_with_a_dot(node: Server) -> None:
    node.apply(example("secret/optional-secret.yaml", **{'"redis"': f'"{pods.IMAGE}", command: ["sleep", "7400"]'}))
    node.apply(example("secret/dotfile-secret.yaml", **{"registry.k8s.io/busybox": pods.IMAGE}))
    node.wait_for("secret-dotfiles-pod", "{.status.phase}=Running")
    node.wait_ready("mypod")
    node.kubectl("delete", "pods", "mypod", "secret-dotfiles-pod", "--grace-period=1")
