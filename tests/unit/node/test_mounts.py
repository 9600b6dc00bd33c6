"""What of a Pod's volumes a container may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from podspace.node import configs, environment, starting
from podspace.node.volume_mounts import Source
from podspace.settings import Paths, Settings
from tests.unit.node import builders


@pytest.mark.parametrize(
    ("source", "readonly"),
    [
        ({"secret": {"secretName": "s"}}, True),
        ({"configMap": {"name": "c"}}, True),
        ({"downwardAPI": {}}, True),
        ({"projected": {"sources": []}}, True),
        ({"emptyDir": {}}, False),
        ({"hostPath": {"path": "/srv"}}, False),
        ({"persistentVolumeClaim": {"claimName": "c"}}, False),
        ({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, True),
    ],
)
def test_a_container_cannot_write_where_the_server_writes(source: dict[str, object], readonly: bool) -> None:
    mounts = [{"name": "v", "mountPath": "/v", "readOnly": False}]
    spec = {"containers": [{"name": "a", "image": "busybox", "volumeMounts": mounts}], "volumes": [{"name": "v"} | source]}
    pod = builders.pod(spec)
    (mount,) = configs.mounts_of(pod, pod.containers[0], [Source(path=Path("/host/v"))], {})
    assert mount.readonly is readonly


def test_read_only_to_the_bottom_where_the_kernel_can() -> None:
    """KEP-3857: ``IfPossible`` takes what it gets, ``Enabled`` does not."""

    def made(wanted: str, *, possible: bool) -> bool:
        mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": wanted}
        container = {"name": "a", "image": "busybox", "volumeMounts": [mount]}
        pod = builders.pod({"containers": [container], "volumes": [{"name": "v", "hostPath": {"path": "/srv"}}]})
        shown = [Source(path=Path("/srv"))]
        (found,) = configs.mounts_of(pod, pod.containers[0], shown, {}, recursive_readonly=possible)
        return found.recursive_readonly

    assert [made(wanted, possible=True) for wanted in ("Disabled", "IfPossible", "Enabled")] == [False, True, True]
    assert [made(wanted, possible=False) for wanted in ("Disabled", "IfPossible")] == [False, False]
    words = 'volume "v" requested recursive read-only mount, but it is not supported by the runtime'
    with pytest.raises(environment.ConfigError, match=words):
        made("Enabled", possible=False)


def test_a_hosts_file_that_a_container_made_huge_or_garbled_is_not_read_whole_and_is_written_anew(tmp_path: Path) -> None:
    pod = builders.pod()
    settings = Settings(paths=Paths.under(tmp_path))
    hosts = starting._files(settings, pod, pod.containers[0], 0, ("10.0.0.2",))["/etc/hosts"]
    good = hosts.read_bytes()
    with hosts.open("wb") as file:
        file.write(b"\xff\xfe")
        file.truncate(1 << 40)
    starting._files(settings, pod, pod.containers[0], 1, ("10.0.0.2",))
    assert hosts.read_bytes() == good
