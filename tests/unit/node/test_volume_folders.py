"""Size and pages of volumes in memory, and what a path of the host must be."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from podspace.node import volume_folders
from podspace.node.environment import ConfigError

NODE = 1 << 30


def container(**resources: Any) -> dict[str, Any]:
    return {"name": "a", "resources": resources}


@pytest.mark.parametrize(
    ("containers", "source", "size"),
    [
        ([container()], {}, NODE),
        ([container()], {"sizeLimit": "1Mi"}, 1 << 20),
        ([container()], {"sizeLimit": "2Gi"}, NODE),
        ([container(limits={"memory": "64Mi"}), container(limits={"memory": "64Mi"})], {}, 128 << 20),
        ([container(limits={"memory": "64Mi"}), container()], {}, NODE),
        ([container(limits={"memory": "64Mi"})], {"sizeLimit": "1Mi"}, 1 << 20),
        ([container(limits={"memory": "64Mi"})], {"sizeLimit": "1Gi"}, 64 << 20),
    ],
)
def test_a_volume_in_memory_is_never_larger_than_its_pod_may_be(containers: list[Any], source: dict[str, str], size: int) -> None:
    assert volume_folders.memory_size({"containers": containers}, source, NODE) == size


def test_huge_pages_are_of_the_size_the_pod_asks_for() -> None:
    two, both = container(requests={"hugepages-2Mi": "4Mi"}), container(requests={"hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi"})
    assert volume_folders._page_bytes({"containers": [two]}, "HugePages") == 2 << 20
    assert volume_folders._page_bytes({"containers": [both]}, "HugePages-1Gi") == 1 << 30
    with pytest.raises(ConfigError, match="medium: HugePages can't be used if container requests multiple huge page sizes"):
        volume_folders._page_bytes({"containers": [both]}, "HugePages")
    with pytest.raises(ConfigError, match="medium HugePages-1Gi: hugePages storage requested, but there is no resource request"):
        volume_folders._page_bytes({"containers": [two]}, "HugePages-1Gi")


@pytest.mark.parametrize(
    ("kind", "good", "name"),
    [
        ("Directory", "folder", "directory"),
        ("DirectoryOrCreate", "folder", "directory"),
        ("File", "file", "file"),
        ("FileOrCreate", "file", "file"),
        ("Socket", "socket", "socket file"),
        ("CharDevice", "/dev/null", "character device"),
        ("BlockDevice", "", "block device"),
    ],
)
def test_a_path_of_the_host_is_of_its_type_or_refused_in_the_kubelets_words(tmp_path: Path, kind: str, good: str, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    if good:
        assert volume_folders.host_path({"path": str(tmp_path / good), "type": kind}) == tmp_path / good
    for bad in {"folder", "file", "/dev/zero"} - {good, "/dev/zero" if kind == "CharDevice" else ""}:
        path = tmp_path / bad
        with pytest.raises(ConfigError) as caught:
            volume_folders.host_path({"path": str(path), "type": kind})
        assert str(caught.value) == f"hostPath type check failed: {path} is not a {name}"


def test_a_path_of_the_host_begins_at_its_root() -> None:
    with pytest.raises(ConfigError, match="hostPath data/x is not an absolute path"):
        volume_folders.host_path({"path": "data/x"})


def test_what_may_be_made_is_made_and_the_rest_must_be_there(tmp_path: Path) -> None:
    assert volume_folders.host_path({"path": str(tmp_path / "d" / "e"), "type": "DirectoryOrCreate"}).is_dir()
    assert volume_folders.host_path({"path": str(tmp_path / "f"), "type": "FileOrCreate"}).is_file()
    assert volume_folders.host_path({"path": str(tmp_path / "any")}).is_dir()
    for kind in ("Directory", "File", "Socket", "CharDevice", "BlockDevice"):
        with pytest.raises(ConfigError, match="hostPath type check failed"):
            volume_folders.host_path({"path": str(tmp_path / "none"), "type": kind})
