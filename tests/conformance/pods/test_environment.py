"""What a container finds around it: variables, volumes, files under /etc."""

from __future__ import annotations

import re
import time

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "conf"},
    "data": {"a": "1", "b": "two\n"},
    "binaryData": {"raw": "/w=="},
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hush"}, "stringData": {"user": "me", "key": "s3cret"}}


def ref(kind: str, name: str, key: str, **more: object) -> dict[str, object]:
    return {"valueFrom": {kind: {"name": name, "key": key, **more}}}


def field(path: str) -> dict[str, object]:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def amount(resource: str, divisor: str = "0") -> dict[str, object]:
    return {"valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}


def mounts(**paths: str) -> list[pods.Manifest]:
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


def volumes(**sources: pods.Manifest) -> list[pods.Manifest]:
    return [{"name": name, **source} for name, source in sources.items()]


ENV = [
    {"name": "PLAIN", "value": "x"},
    {"name": "REF", "value": "$(PLAIN)-$(PRE_a)-$$(PLAIN)-$(NOBODY)"},
    {"name": "POD", **field("metadata.name")},
    {"name": "NS", **field("metadata.namespace")},
    {"name": "LABEL", **field("metadata.labels['app']")},
    {"name": "NOTE", **field("metadata.annotations['note/x']")},
    {"name": "IP", **field("status.podIP")},
    {"name": "NODE", **field("spec.nodeName")},
    {"name": "ACCOUNT", **field("spec.serviceAccountName")},
    {"name": "CPU", **amount("limits.cpu")},
    {"name": "MILLI", **amount("requests.cpu", "1m")},
    {"name": "MEM", **amount("limits.memory", "1Mi")},
    {"name": "FROMCM", **ref("configMapKeyRef", "conf", "a")},
    {"name": "FROMSECRET", **ref("secretKeyRef", "hush", "user")},
    {"name": "MAYBE", **ref("configMapKeyRef", "conf", "zzz", optional=True)},
    {"name": "PRE_b", "value": "mine"},
]
ENV_FROM = [
    {"prefix": "PRE_", "configMapRef": {"name": "conf"}},
    {"secretRef": {"name": "hush"}},
    {"configMapRef": {"name": "none", "optional": True}},
]
DOWNWARD = [
    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
    {"path": "deep/mem", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory"}, "mode": 0o400},
]
PROJECTED = [
    {"configMap": {"name": "conf", "items": [{"key": "a", "path": "sub/A"}]}},
    {"secret": {"name": "hush"}},
    {"secret": {"name": "none", "optional": True}},
    {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
]
RESOURCES = {"requests": {"cpu": "250m", "memory": "16Mi"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}
MODES = "stat -L -c '%a %u %n'"


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    host = tmp_path_factory.mktemp("host")
    (host / "file").write_text("of the host\n")
    pods.create(
        node,
        CONFIG,
        SECRET,
        pod(
            "env",
            box("env", env=ENV, envFrom=ENV_FROM, resources=RESOURCES),
            metadata={"labels": {"app": "web"}, "annotations": {"note/x": "n"}},
        ),
        pod(
            "args",
            {
                "name": "c",
                "image": pods.IMAGE,
                "command": ["echo"],
                "args": ["$(A)", "$$(A)", "$(B)"],
                "env": [{"name": "A", "value": "1"}],
            },
        ),
        pod("files", box(FILES, resources=RESOURCES, volumeMounts=FILE_MOUNTS), volumes=FILE_VOLUMES, metadata={"labels": {"app": "web"}}),
        pod(
            "live",
            box("exec sleep 7100", volumeMounts=mounts(v="/v", d="/d")),
            volumes=volumes(v={"configMap": {"name": "moving", "optional": True}}, d={"downwardAPI": {"items": DOWNWARD[:1]}}),
            metadata={"labels": {"app": "web"}},
        ),
        pod(
            "memory",
            box("exec sleep 7101", volumeMounts=mounts(v="/v")),
            volumes=volumes(v={"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
        ),
        pod("no-config", box("true", volumeMounts=mounts(v="/v")), volumes=volumes(v={"configMap": {"name": "none"}})),
        pod(
            "no-key",
            box("true", volumeMounts=mounts(v="/v")),
            volumes=volumes(v={"secret": {"secretName": "hush", "items": [{"key": "zz", "path": "z"}]}}),
        ),
        pod("no-env", box("true", env=[{"name": "X", **ref("configMapKeyRef", "late", "k")}])),
        pod("no-env-key", box("true", env=[{"name": "X", **ref("secretKeyRef", "hush", "zz")}])),
        pod(
            "host-file",
            box("cat /f/file; echo more > /new/x", volumeMounts=mounts(f="/f", n="/new")),
            volumes=volumes(
                f={"hostPath": {"path": str(host), "type": "Directory"}},
                n={"hostPath": {"path": str(host / "made"), "type": "DirectoryOrCreate"}},
            ),
        ),
        pod(
            "host-wrong",
            box("true", volumeMounts=mounts(f="/f")),
            volumes=volumes(f={"hostPath": {"path": str(host / "file"), "type": "Directory"}}),
        ),
        pod(
            "names",
            box("hostname; cat /etc/hostname; cat /etc/hosts"),
            hostname="web",
            subdomain="sub",
            hostAliases=[{"ip": "192.0.2.7", "hostnames": ["one", "two"]}],
        ),
        pod("fqdn", box("hostname"), subdomain="sub", setHostnameAsFQDN=True),
        pod("dns-none", box("cat /etc/resolv.conf"), dnsPolicy="None", dnsConfig=DNS),
        pod("dns-more", box("cat /etc/resolv.conf"), dnsPolicy="Default", dnsConfig={"options": DNS["options"]}),
        pod("host-net", box("hostname; cat /etc/hosts /etc/resolv.conf"), hostNetwork=True),
    )


DNS = {
    "nameservers": ["192.0.2.53"],
    "searches": ["a.example", "b.example"],
    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
}
FILES = f"""
{MODES} /cm/a /cm/raw /se/key /it/x /dw/labels /dw/deep/mem /pr/sub/A /pr/user /pr/name /empty
cat /cm/b /dw/labels; echo; cat /dw/deep/mem /pr/name; echo
readlink /cm/a; echo $(ls -A /it)
for d in /cm /se /dw /pr; do touch $d/new 2>&1 | sed 's/.*: //'; done
touch /empty/new && echo written
"""
FILE_MOUNTS = mounts(c="/cm", s="/se", i="/it", d="/dw", p="/pr", e="/empty")
FILE_VOLUMES = volumes(
    c={"configMap": {"name": "conf"}},
    s={"secret": {"secretName": "hush", "defaultMode": 0o440}},
    i={"configMap": {"name": "conf", "items": [{"key": "a", "path": "x", "mode": 0o600}]}},
    d={"downwardAPI": {"items": DOWNWARD}},
    p={"projected": {"sources": PROJECTED, "defaultMode": 0o404}},
    e={"emptyDir": {}},
)


def test_variables(node: Server) -> None:
    found = dict(line.split("=", 1) for line in pods.output(node, "env"))
    status = node.pod("env")
    expected = {
        "PLAIN": "x", "REF": "x-1-$(PLAIN)-$(NOBODY)", "POD": "env", "NS": "default", "LABEL": "web", "NOTE": "n",
        "IP": status["status"]["podIP"], "NODE": status["spec"]["nodeName"], "ACCOUNT": "default",
        "CPU": "2", "MILLI": "250", "MEM": "64", "FROMCM": "1", "FROMSECRET": "me", "PRE_a": "1", "PRE_b": "mine",
        "user": "me", "key": "s3cret", "HOSTNAME": "env",
    }  # fmt: skip
    assert found.items() >= expected.items()
    assert not {"MAYBE", "PRE_raw"} & found.keys()


def test_arguments(node: Server) -> None:
    assert pods.output(node, "args") == ["1 $(A) $(B)"]


def test_volumes_made_of_objects(node: Server) -> None:
    lines = pods.output(node, "files")
    assert lines[:10] == [
        "644 0 /cm/a", "644 0 /cm/raw", "440 0 /se/key", "600 0 /it/x", "644 0 /dw/labels", "400 0 /dw/deep/mem",
        "404 0 /pr/sub/A", "404 0 /pr/user", "404 0 /pr/name", "777 0 /empty",
    ]  # fmt: skip
    assert lines[10:14] == ["two", 'app="web"', "67108864files", "..data/a"]
    assert [name for name in lines[14].split() if not name.startswith("..2")] == ["..data", "x"]
    assert lines[15:] == ["Read-only file system"] * 4 + ["written"]


def wait_for_text(node: Server, name: str, path: str, text: str, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while (found := node.exec(name, "c", "cat", path, check=False)) != text:
        assert time.monotonic() < until, found
        time.sleep(0.1)


def test_volumes_follow_their_objects(node: Server) -> None:
    node.wait_ready("live")
    node.kubectl("create", "configmap", "moving", "--from-literal=k=first")
    wait_for_text(node, "live", "/v/k", "first")
    node.kubectl("patch", "configmap", "moving", "-p", '{"data":{"k":"second"}}')
    wait_for_text(node, "live", "/v/k", "second")
    node.kubectl("label", "pod", "live", "app=changed", "--overwrite")
    wait_for_text(node, "live", "/d/labels", 'app="changed"')
    assert pods.container_status(node, "live")["restartCount"] == 0


def test_a_volume_in_memory_is_a_tmpfs_of_its_size(node: Server) -> None:
    node.wait_ready("memory")
    words = node.exec("memory", "c", "sh", "-c", "grep ' /v ' /proc/mounts; df -k /v | tail -1").split()
    assert words[2] == "tmpfs"
    assert "size=1024k" in words[3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-config", 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
        ("no-key", 'MountVolume.SetUp failed for volume "v" : references non-existent secret key: zz'),
    ],
)
def test_a_volume_that_cannot_be_made_is_told(node: Server, name: str, message: str) -> None:
    pods.wait_told(node, name, "FailedMount")
    assert ("FailedMount", message) in pods.told(node, name)
    status = node.pod(name)["status"]
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_variable_that_is_not_there_holds_the_container_until_it_is(node: Server) -> None:
    node.wait_for("no-env", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    assert pods.container_status(node, "no-env")["state"]["waiting"]["message"] == 'configmap "late" not found'
    assert ("Failed", 'Error: configmap "late" not found') in pods.told(node, "no-env")
    node.kubectl("create", "configmap", "late", "--from-literal=k=v")
    node.wait_for("no-env", "{.status.phase}=Succeeded", seconds=9)
    node.wait_for("no-env-key", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    message = pods.container_status(node, "no-env-key")["state"]["waiting"]["message"]
    assert message == "couldn't find key zz in Secret default/hush"


def test_paths_of_the_host(node: Server) -> None:
    assert pods.output(node, "host-file") == ["of the host"]
    pods.wait_told(node, "host-wrong", "FailedMount")
    assert pods.told(node, "host-wrong")[-1][1].endswith("file is not a directory")


def test_names_and_hosts(node: Server) -> None:
    lines = pods.output(node, "names")
    status = node.pod("names")["status"]
    assert status["podIP"] == status["podIPs"][0]["ip"]
    assert lines[:4] == ["web", "web", "# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost"]
    ips = [entry["ip"] for entry in status["podIPs"]]
    assert lines[-3 - len(ips) :] == [
        *(f"{ip}\tweb.sub.default.svc.cluster.local\tweb" for ip in ips),
        "",
        "# Entries added by HostAliases.",
        "192.0.2.7\tone\ttwo",
    ]
    assert pods.output(node, "fqdn") == ["fqdn.sub.default.svc.cluster.local"]


def test_resolvers(node: Server) -> None:
    assert pods.output(node, "dns-none") == ["search a.example b.example", "nameserver 192.0.2.53", "options ndots:2 edns0"]
    more = pods.output(node, "dns-more")
    with open("/etc/resolv.conf") as file:
        servers = [line.strip() for line in file if line.startswith("nameserver")]
    assert [line for line in more if line.startswith("nameserver")] == servers
    assert more[-1].endswith("ndots:2 edns0")


def test_the_hosts_network(node: Server) -> None:
    lines = pods.output(node, "host-net")
    status = node.pod("host-net")["status"]
    assert lines[0] == node.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.labels.kubernetes\\.io/hostname}")
    assert "# Kubernetes-managed hosts file (host network)." in lines
    assert (status["podIP"], status["podIPs"]) == (status["hostIP"], status["hostIPs"])


def test_a_volume_in_memory_outlives_the_server(own_server: Server) -> None:
    manifest = pod("kept", box("exec sleep 7102", volumeMounts=mounts(v="/v")), volumes=volumes(v={"emptyDir": {"medium": "Memory"}}))
    pods.create(own_server, manifest)
    own_server.wait_ready("kept")
    own_server.exec("kept", "c", "sh", "-c", "echo still here > /v/x")
    own_server.kill()
    own_server.start()
    assert own_server.exec("kept", "c", "cat", "/v/x") == "still here\n"


def test_services_are_told_as_variables_unless_links_are_off(node: Server) -> None:
    node.kubectl("create", "service", "clusterip", "links", "--tcp=80:80")
    address = node.kubectl("get", "service", "links", "-o", "jsonpath={.spec.clusterIP}")
    pods.create(node, *(pod(name, box("env"), enableServiceLinks=links) for name, links in (("linked", True), ("unlinked", False))))
    for name, told in (("linked", True), ("unlinked", False)):
        seen = pods.output(node, name)
        assert (f"LINKS_SERVICE_HOST={address}" in seen) is told
        assert not [line for line in seen if line.startswith("KUBERNETES_SERVICE_HOST=")]
        assert [line for line in seen if re.fullmatch(r"KUBERNETES_PORT=tcp://[0-9.]+:443", line)], "as everywhere, with links or without"
