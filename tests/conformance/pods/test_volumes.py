"""Volumes of a Pod as a container sees them: parts of them, whose they are, what the host may show, tokens."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from podspace.linux import mounts as mounts_of_the_host
from podspace.node import volume_folders
from podspace.node.pod import parse as parse_pod
from tests.conformance.pods.test_environment import mounts, volumes, wait_for_text
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

GROUP = 4321
NAME = {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vols"}, "stringData": {"key": "s3cret"}}
SHOW = "stat -L -c '%a %u:%g %n'"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host")
    (folder / "kept").mkdir()
    (folder / "kept" / "file").write_text("of the host\n")
    return folder


def part(volume: str, path: str, **fields: object) -> pods.Manifest:
    return {"name": volume, "mountPath": path, **fields}


def test_a_part_of_a_volume_is_mounted(node: Server, host: Path) -> None:
    shown = [
        part("e", "/whole"),
        part("e", "/made", subPath="new/folder"),
        part("e", "/named", subPathExpr="$(NAME)/x"),
        part("h", "/file", subPath="kept/file", readOnly=True),
        part("s", "/key", subPath="key"),
    ]
    script = f"{SHOW} /made /named; touch /made/a /named/b; ls /whole /whole/parts/x; cat /file /key; touch /file 2>&1 | sed 's/.*: //'"
    sources = volumes(e={"emptyDir": {}}, h={"hostPath": {"path": str(host)}}, s={"secret": {"secretName": "vols"}})
    pods.create(node, SECRET, pod("parts", box(script, env=[NAME], volumeMounts=shown), volumes=sources))
    lines = pods.output(node, "parts")
    assert lines[:2] == ["777 0:0 /made", "777 0:0 /named"]
    assert lines[2:] == ["/whole:", "new", "parts", "", "/whole/parts/x:", "b", "of the host", "s3cretRead-only file system"]
    gone = node.wait_for("parts", '{.status.conditions[?(@.type=="PodReadyToStartContainers")].status}=False')
    assert gone["metadata"]["uid"] not in Path("/proc/self/mountinfo").read_text()
    assert (host / "kept" / "file").read_text() == "of the host\n"


def test_a_symlink_in_a_volume_leads_nowhere_outside_of_it(node: Server, host: Path) -> None:
    (host / "outside").mkdir()
    prepare = "ln -s ../../../../../../../.. /v/up; ln -s / /v/root; ln -s /none/x /v/dangling; mkdir /v/in; ln -s in /v/inner"
    make = box(prepare, "make", volumeMounts=mounts(v="/v"))
    hostile = [
        pod(
            f"hostile-{name}",
            box("true", volumeMounts=[part("v", "/x", subPath=path)]),
            initContainers=[make],
            volumes=volumes(v={"emptyDir": {}}),
        )
        for name, path in (("up", "up/etc"), ("root", "root"), ("dangling", "dangling"))
    ]
    inner = pod(
        "inner",
        box("touch /x/y && ls /v/in", volumeMounts=[part("v", "/x", subPath="inner"), part("v", "/v")]),
        initContainers=[make],
        volumes=volumes(v={"emptyDir": {}}),
    )
    pods.create(node, inner, *hostile)
    assert pods.output(node, "inner") == ["y"]
    for name in ("up", "root", "dangling"):
        node.wait_for(f"hostile-{name}", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
        message = pods.container_status(node, f"hostile-{name}")["state"]["waiting"]["message"]
        assert message in (
            'failed to prepare subPath for volumeMount "v" of container "c"',
            'failed to create subPath directory for volumeMount "v" of container "c"',
        )
    node.kubectl("delete", "pods", "inner", *(f"hostile-{name}" for name in ("up", "root", "dangling")))


def test_a_variable_that_a_part_is_named_by_must_be_there(node: Server) -> None:
    expressed = [part("v", "/x", subPathExpr="$(NOBODY)")]
    pods.create(node, pod("no-part", box("true", volumeMounts=expressed), volumes=volumes(v={"emptyDir": {}})))
    node.wait_for("no-part", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    assert pods.container_status(node, "no-part")["state"]["waiting"]["message"] == "missing value for NOBODY"
    node.kubectl("delete", "pod", "no-part")


def test_volumes_are_given_to_a_group(node: Server, host: Path) -> None:
    sources = volumes(
        e={"emptyDir": {}},
        m={"emptyDir": {"medium": "Memory"}},
        s={"secret": {"secretName": "vols", "defaultMode": 0o400}},
        h={"hostPath": {"path": str(host)}},
    )
    script = f"id -G; touch /e/made /m/made; cat /s/key; echo; {SHOW} /e /m /s/key /e/made /m/made; {SHOW} /h | cut -d: -f2"
    who = {"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": GROUP, "supplementalGroups": [77]}
    pods.create(
        node, SECRET, pod("group", box(script, volumeMounts=mounts(e="/e", m="/m", s="/s", h="/h")), volumes=sources, securityContext=who)
    )
    assert pods.output(node, "group") == [
        "1234 77 4321", "s3cret", "2777 0:4321 /e", "3777 0:4321 /m", "440 0:4321 /s/key", "644 1234:4321 /e/made", "644 1234:4321 /m/made",
        f"{os.stat(host).st_gid} /h",
    ]  # fmt: skip


def test_a_path_of_the_host_is_what_its_type_says(node: Server, host: Path) -> None:
    file = host / "kept" / "file"
    cases = {
        "directory": (file, "Directory"),
        "socket-file": (file, "Socket"),
        "file": (host, "File"),
        "block-device": ("/dev/null", "BlockDevice"),
    }
    pods.create(
        node,
        *(
            pod(
                f"not-a-{name}",
                box("true", volumeMounts=mounts(v="/v")),
                volumes=volumes(v={"hostPath": {"path": str(path), "type": kind}}),
            )
            for name, (path, kind) in cases.items()
        ),
        pod("null", box("echo gone > /v; cat /v", volumeMounts=mounts(v="/v")), volumes=volumes(v=CHARACTER)),
    )
    assert pods.output(node, "null") == []
    for name, (path, _) in cases.items():
        pods.wait_told(node, f"not-a-{name}", "FailedMount")
        words = f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {path} is not a {name.replace("-", " ")}'
        assert ("FailedMount", words) in pods.told(node, f"not-a-{name}")
    node.kubectl("delete", "pods", *(f"not-a-{name}" for name in cases))


CHARACTER = {"hostPath": {"path": "/dev/null", "type": "CharDevice"}}


def test_secrets_lie_in_memory_and_may_be_executed(node: Server) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "script"}, "stringData": {"run": "#!/bin/sh\necho ran\n"}}
    script = '/s/run; awk \'$2 == "/s" || $2 == "/d" || $2 == "/p" || $2 == "/c" {print $2, $3 == "tmpfs"}\' /proc/mounts | sort'
    sources = volumes(
        s={"secret": {"secretName": "script", "defaultMode": 0o755}},
        d={"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        p={"projected": {"sources": [{"secret": {"name": "script"}}]}},
        c={"configMap": {"name": "kube-root-ca.crt"}},
    )
    pods.create(node, secret, pod("in-memory", box(script, volumeMounts=mounts(s="/s", d="/d", p="/p", c="/c")), volumes=sources))
    assert pods.output(node, "in-memory") == ["ran", "/c 0", "/d 1", "/p 1", "/s 1"]


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_a_token_is_signed_for_its_pod_and_kept_in_memory(node: Server) -> None:
    source = {"serviceAccountToken": {"path": "dir/token", "audience": "vault", "expirationSeconds": 7200}}
    who = {"runAsUser": 1234}
    script = f"cat /t/dir/token; echo; {SHOW} /t/dir/token; grep ' /t ' /proc/mounts | cut -d' ' -f3"
    manifest = pod(
        "token",
        box(script, volumeMounts=mounts(t="/t")),
        volumes=volumes(t={"projected": {"sources": [source]}}),
        securityContext=who,
        serviceAccountName="default",
    )
    pods.create(node, manifest)
    token, status, filesystem = pods.output(node, "token")
    assert status == "600 1234:0 /t/dir/token"
    assert filesystem == "tmpfs"
    claims = claims_of(token)
    assert (claims["aud"], claims["sub"]) == (["vault"], "system:serviceaccount:default:default")
    private = claims["kubernetes.io"]
    assert isinstance(private, dict)
    assert private["pod"] == {"name": "token", "uid": node.pod("token")["metadata"]["uid"]}
    assert isinstance(claims["exp"], int)
    assert isinstance(claims["iat"], int)
    assert claims["exp"] - claims["iat"] == 7200


def test_everything_that_a_projected_volume_lacks_is_told_at_once(node: Server) -> None:
    sources = volumes(t={"projected": {"sources": [{"configMap": {"name": "no-such"}}, {"secret": {"name": "no-such"}}]}})
    pods.create(node, pod("lacking", box("true", volumeMounts=mounts(t="/t")), volumes=sources))
    pods.wait_told(node, "lacking", "FailedMount")
    words = 'MountVolume.SetUp failed for volume "t" : [configmap "no-such" not found, secret "no-such" not found]'
    assert ("FailedMount", words) in pods.told(node, "lacking")
    node.kubectl("delete", "pod", "lacking")


def test_parts_of_volumes_outlive_the_server_and_go_with_their_pod(own_server: Server) -> None:
    shown = [part("v", "/x", subPath="sub"), part("v", "/v")]
    sources = volumes(v={"emptyDir": {}}, m={"emptyDir": {"medium": "Memory"}})
    box_ = box("sleep 1; [ -e /x/again ] && exec sleep 7201; touch /x/again", volumeMounts=[*shown, part("m", "/m")])
    pods.create(own_server, pod("kept", box_, volumes=sources, restartPolicy="Always"))
    own_server.wait_ready("kept")
    own_server.kill()
    own_server.start()
    own_server.wait_for("kept", "{.status.containerStatuses[0].restartCount}=1")
    own_server.wait_for("kept", "{.status.containerStatuses[0].ready}=true")
    assert own_server.exec("kept", "c", "ls", "/x") == "again\n"
    own_server.kill()
    stranger = own_server.paths.pods / "11111111-2222-3333-4444-555555555555" / "volumes" / "kubernetes.io~secret" / "s"
    stranger.mkdir(parents=True)
    mounts_of_the_host.tmpfs(stranger, size_bytes=1 << 20)
    (stranger / "key").write_text("of a Pod that nobody knows any more")
    own_server.start()
    own_server.kubectl("delete", "pod", "kept")
    assert str(own_server.root / "lib" / "pods") not in Path("/proc/self/mountinfo").read_text()
    assert list(own_server.paths.pods.iterdir()) == []


def test_variables_are_read_from_a_file_that_an_init_container_wrote(node: Server) -> None:
    write = box("printf \"A='one'\\nB='two\\nlines'\\n\" > /v/config.env", "write", volumeMounts=mounts(v="/v"))
    read = [
        {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "config.env", "key": name, **more}}}
        for name, more in (("A", {}), ("B", {}), ("C", {"optional": True}))
    ]
    sources = volumes(v={"emptyDir": {}})
    pods.create(
        node,
        pod("env-file", box('echo $A-${C-unset}; echo "$B"', env=read), initContainers=[write], volumes=sources),
        pod("env-file-bad", box("true", env=[FILE_VARIABLE]), initContainers=[write], volumes=sources),
    )
    assert pods.output(node, "env-file") == ["one-unset", "two", "lines"]
    node.wait_for("env-file-bad", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    message = pods.container_status(node, "env-file-bad")["state"]["waiting"]["message"]
    assert message == 'environment variable key "NONE" not found in file "config.env" of volume v'
    node.kubectl("delete", "pod", "env-file-bad")


FILE_VARIABLE = {"name": "X", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "config.env", "key": "NONE"}}}


def test_what_an_image_holds_is_mounted(node: Server) -> None:
    shown = [part("i", "/image"), part("i", "/part", subPath="bin", readOnly=True)]
    sources = volumes(i={"image": {"reference": pods.IMAGE}})
    script = "ls /image/bin/busybox /part/busybox; /part/busybox echo ran; touch /image/x 2>&1 | sed 's/.*: //'"
    pods.create(node, pod("image-volume", box(script, volumeMounts=shown), volumes=sources))
    assert pods.output(node, "image-volume") == ["/image/bin/busybox", "/part/busybox", "ran", "Read-only file system"]
    (shown_first, _) = pods.container_status(node, "image-volume")["volumeMounts"]
    assert shown_first["volumeStatus"]["image"]["imageRef"].startswith("sha256:")


def test_an_image_that_cannot_be_mounted_holds_the_container(node: Server) -> None:
    cases = {
        "no-image": ({"reference": "docker.io/library/no-such-image:1"}, "", "ImagePullBackOff"),
        "never": ({"reference": "docker.io/library/no-such-image:1", "pullPolicy": "Never"}, "", "ErrImageNeverPull"),
        "no-part": ({"reference": pods.IMAGE}, "no/such/folder", "CreateContainerError"),
    }
    pods.create(
        node,
        *(
            pod(
                name, box("true", volumeMounts=[part("i", "/i", **({"subPath": sub} if sub else {}))]), volumes=volumes(i={"image": source})
            )
            for name, (source, sub, _) in cases.items()
        ),
    )
    for name, (_, _, reason) in cases.items():
        node.wait_for(name, f"{{.status.containerStatuses[0].state.waiting.reason}}={reason}")
    assert 'Pulling image "docker.io/library/no-such-image:1"' in [message for _, message in pods.told(node, "no-image")]
    node.kubectl("delete", "pods", *cases)


def test_a_pod_that_can_reach_the_server_finds_it_with_its_token(node: Server) -> None:
    node.kubectl("create", "serviceaccount", "robot")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = (
        f"echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT $(cat {folder}/namespace); cat {folder}/token; echo; cat {folder}/ca.crt"
    )
    pods.create(
        node,
        pod("in-cluster", box(script), serviceAccountName="robot", hostNetwork=True),
        pod("not-in-cluster", box("echo [$KUBERNETES_SERVICE_HOST]"), serviceAccountName="robot"),
    )
    where, token, *certificate = pods.output(node, "in-cluster")
    assert where == f"127.0.0.1 {node.port} default"
    context = ssl.create_default_context(cadata="\n".join(certificate))
    address, port, _ = where.split()
    request = urllib.request.Request(f"https://{address}:{port}/version", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        assert json.load(answer)["major"] == "1"
    request = urllib.request.Request(f"https://{address}:{port}/api/v1/secrets", headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, context=context, timeout=30)
    assert pods.output(node, "not-in-cluster") == ["[]"]


@pytest.mark.skipif("hugetlbfs" not in Path("/proc/filesystems").read_text(), reason="this kernel has no huge pages")
def test_a_volume_of_huge_pages_is_mounted_with_their_size(tmp_path: Path) -> None:
    """Without a Pod: few machines have huge pages set aside, and a Pod that asks for them goes nowhere else."""
    resources = {"requests": {"hugepages-2Mi": "4Mi"}, "limits": {"hugepages-2Mi": "4Mi"}}
    view = parse_pod({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [box("true", resources=resources)]}})
    for _ in range(2):
        volume_folders.empty_dir(tmp_path / "v", view, {"medium": "HugePages"}, node_memory_bytes=0, group=GROUP)
    try:
        (line,) = [line.split() for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line]
        assert line[2] == "hugetlbfs"
        assert "pagesize=2M" in line[3]
        status = (tmp_path / "v").stat()
        assert (status.st_mode & 0o7777, status.st_gid) == (0o2777, GROUP)
    finally:
        mounts_of_the_host.unmount_below(tmp_path)


def test_every_kind_of_volume_follows_what_it_shows(node: Server) -> None:
    maybe = [
        {"secret": {"name": "turning", "optional": True, "items": [{"key": "k", "path": "dir/k"}]}},
        {"configMap": {"name": "turning", "optional": True}},
        {"downwardAPI": {"items": [{"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}}]}},
    ]
    sources = volumes(s={"secret": {"secretName": "turning", "optional": True}}, p={"projected": {"sources": maybe}})
    watch = box("exec sleep 7203", volumeMounts=mounts(s="/s", p="/p"))
    pods.create(node, pod("turning", watch, volumes=sources, metadata={"annotations": {"note": "first"}}))
    node.wait_ready("turning")
    assert node.exec("turning", "c", "sh", "-c", "ls /s; ls /p") == "note\n"
    node.kubectl("create", "secret", "generic", "turning", "--from-literal=k=one")
    node.kubectl("create", "configmap", "turning", "--from-literal=c=two")
    wait_for_text(node, "turning", "/s/k", "one")
    wait_for_text(node, "turning", "/p/dir/k", "one")
    wait_for_text(node, "turning", "/p/c", "two")
    node.kubectl("annotate", "pod", "turning", "note=second", "--overwrite")
    wait_for_text(node, "turning", "/p/note", "second")
    node.kubectl("delete", "secret/turning", "configmap/turning")
    wait_for_text(node, "turning", "/s/k", "")
    wait_for_text(node, "turning", "/p/c", "")
    assert node.exec("turning", "c", "cat", "/p/note") == "second"
    assert pods.container_status(node, "turning")["restartCount"] == 0
    node.kubectl("delete", "pod", "turning")


def test_volumes_of_a_pod_with_users_of_its_own_are_its_own(node: Server) -> None:
    sources = volumes(
        e={"emptyDir": {}},
        m={"emptyDir": {"medium": "Memory"}},
        s={"secret": {"secretName": "vols", "defaultMode": 0o400}},
        c={"configMap": {"name": "kube-root-ca.crt"}},
    )
    shown = [*mounts(e="/e", m="/m", s="/s", c="/c"), part("e", "/part", subPath="sub")]
    script = f"touch /e/x /m/x /part/x; cat /s/key; echo; {SHOW} /e /e/x /m/x /s/key /c/ca.crt /part/x"
    pods.create(node, SECRET, pod("own-users", box(script, volumeMounts=shown), volumes=sources, hostUsers=False))
    assert pods.output(node, "own-users") == [
        "s3cret", "777 0:0 /e", "644 0:0 /e/x", "644 0:0 /m/x", "400 0:0 /s/key", "644 0:0 /c/ca.crt", "644 0:0 /part/x",
    ]  # fmt: skip
