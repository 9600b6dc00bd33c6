"""Images in files: what docker, podman and OCI tools write."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from podspace import errors
from podspace.image import manifest
from podspace.image.model import Image
from podspace.image.service import Images
from podspace.settings import Paths, Settings
from tests.unit.image import tars
from tools import image_layout

BASE = tars.make([tars.folder("./"), tars.file("base", b"base")])
TOP = tars.make([tars.file("top", b"top" * 1000)])
CONFIG = {"Cmd": ["sh"]}


def load(root: Path, path: Path) -> list[Image]:
    return asyncio.run(Images(Settings(paths=Paths.under(root))).load(path))


def layout(folder: Path, *names: str, compression: str = "gzip", annotations: Mapping[str, str] | None = None) -> Path:
    made = image_layout.Layout(folder)
    layers = [image_layout.layer(each, compression=compression) for each in (BASE, TOP)]
    descriptor = made.add_image(layers, CONFIG, architecture=manifest.host_platform().architecture)
    made.tag(descriptor, *names)
    if annotations is not None:
        made.manifests.append({**descriptor, "annotations": dict(annotations)})
    made.save()
    return folder


def docker_archive(*tags: str, links: bool = False, **changes: Any) -> bytes:
    """As ``docker save`` before version 25 wrote it; ``links``: a layer that is there before is stored as a symlink."""
    document = {
        "os": "linux",
        "architecture": "amd64",
        "config": CONFIG,
        "rootfs": {"type": "layers", "diff_ids": [tars.digest(BASE), tars.digest(TOP)]},
    } | changes
    config = json.dumps(document).encode()
    name = tars.digest(config)[7:] + ".json"
    entry = {"Config": name, "RepoTags": list(tags) or None, "Layers": ["one/layer.tar", "two/layer.tar"]}
    members = [tars.file("manifest.json", json.dumps([entry]).encode()), tars.file(name, config), tars.file("two/layer.tar", TOP)]
    if links:
        members += [tars.file("zero/layer.tar", BASE), tars.symlink("one/layer.tar", "../zero/layer.tar")]
    else:
        members += [tars.file("one/layer.tar", BASE)]
    return tars.make(members)


def check(image: Image) -> None:
    assert image.config.cmd == ("sh",)
    assert [(layer / name).exists() for layer, name in zip(image.layers, ("base", "top"), strict=True)] == [True, True]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_layout_folder_is_loaded(tmp_path: Path, compression: str) -> None:
    (image,) = load(tmp_path, layout(tmp_path / "layout", "docker.io/library/app:1", "docker.io/library/app:2", compression=compression))
    check(image)
    assert image.repo_tags == ("docker.io/library/app:1", "docker.io/library/app:2")
    assert image.repo_digests[0].startswith("docker.io/library/app@sha256:")
    assert Images(Settings(paths=Paths.under(tmp_path))).find("app:2") == image


@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
def test_an_oci_archive_is_loaded(tmp_path: Path, packed: str) -> None:
    file = tmp_path / "image.tar"
    image_layout.archive(layout(tmp_path / "layout", "docker.io/library/app:1"), file)
    data = file.read_bytes()
    file.write_bytes({"plain": data, "gzip": gzip.compress(data, mtime=0), "zstd": zstandard.ZstdCompressor().compress(data)}[packed])
    (image,) = load(tmp_path, file)
    check(image)


@pytest.mark.parametrize("links", [False, True])
def test_a_docker_archive_is_loaded(tmp_path: Path, links: bool) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(docker_archive("app:1", "example.com/app:2", links=links))
    (image,) = load(tmp_path, file)
    check(image)
    assert image.repo_tags == ("docker.io/library/app:1", "example.com/app:2")


def test_an_image_without_a_name_is_found_by_its_id(tmp_path: Path) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(docker_archive())
    (image,) = load(tmp_path, file)
    assert image.repo_tags == ()
    assert Images(Settings(paths=Paths.under(tmp_path))).find(image.id) == image


def test_containerds_name_wins_and_a_bare_tag_is_no_name(tmp_path: Path) -> None:
    names = {"io.containerd.image.name": "docker.io/library/app:7", "org.opencontainers.image.ref.name": "7"}
    (image,) = load(tmp_path / "a", layout(tmp_path / "one", annotations=names))
    assert image.repo_tags == ("docker.io/library/app:7",)
    (image,) = load(tmp_path / "b", layout(tmp_path / "two", annotations={"org.opencontainers.image.ref.name": "latest"}))
    assert image.repo_tags == ()


def test_loading_again_changes_nothing(tmp_path: Path) -> None:
    folder = layout(tmp_path / "layout", "docker.io/library/app:1")
    assert load(tmp_path, folder) == load(tmp_path, folder)
    assert len(Images(Settings(paths=Paths.under(tmp_path))).list()) == 1


def test_a_layer_that_is_not_what_the_config_says_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(docker_archive("app:1", rootfs={"type": "layers", "diff_ids": [tars.digest(BASE), tars.digest(BASE)]}))
    with pytest.raises(errors.FailedPrecondition, match="unexpected diff id"):
        load(tmp_path, file)
    assert Images(Settings(paths=Paths.under(tmp_path))).list() == []


def test_a_blob_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    folder = layout(tmp_path / "layout", "docker.io/library/app:1")
    for blob in (folder / "blobs/sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.write_bytes(gzip.compress(TOP, mtime=1))
    with pytest.raises(errors.PodspaceError, match=r"unexpected digest|instead of|more than"):
        load(tmp_path, folder)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd"])
def test_nothing_outside_the_folder_is_read(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps([{"Config": path, "RepoTags": None, "Layers": []}]))
    with pytest.raises(errors.BadRequest, match=r"leads out|not JSON|no "):
        load(tmp_path, folder)


def test_links_in_the_folder_lead_nowhere(tmp_path: Path) -> None:
    folder = layout(tmp_path / "layout", "docker.io/library/app:1")
    secret = tmp_path / "secret"
    secret.write_text('{"manifests": "secret-content"}')
    (folder / "index.json").unlink()
    (folder / "index.json").symlink_to(secret)
    with pytest.raises(errors.PodspaceError) as caught:
        load(tmp_path, folder)
    assert "secret-content" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "load"),
        (b"nonsense" * 1000, "neither a tarball"),
        (tars.make([tars.file("x")]), "no images"),
        (tars.make([tars.file("manifest.json", b"{")]), "not JSON"),
        (tars.make([tars.file("manifest.json", b"[7]")]), "manifest.json"),
        (tars.make([tars.file("index.json", b'{"manifests": [7]}')]), "digest"),
        (tars.make([tars.file("index.json", b'{"manifests": 7}')]), "load"),
        (tars.make([tars.file("index.json", json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64}]}).encode())]), "no blobs/sha256"),
        (tars.make([tars.symlink("index.json", "index.json")]), "load"),
        (tars.make([tars.file("index.json", b"[" * 100_000)]), "not JSON"),
        (tars.make([tars.file("manifest.json", b'[{"Config": "c", "RepoTags": 7, "Layers": []}]')]), "load"),
        (docker_archive("app:1")[:1500], "neither a tarball|no "),
        (docker_archive("app:1")[:2500], "neither a tarball|no "),
        (gzip.compress(b"nonsense", mtime=0), "neither a tarball"),
        (gzip.compress(tars.make([tars.file("x")]), mtime=0)[:-10], "damaged|unexpected end"),
    ],
)
def test_what_is_no_archive_is_told_so(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(content)
    with pytest.raises(errors.PodspaceError, match=words):
        load(tmp_path, file)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_an_archive_may_come_through_a_pipe_and_in_any_compression(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(compress(docker_archive("app:1")))
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        (image,) = load(tmp_path, Path(f"/dev/fd/{cat.stdout.fileno()}"))
    check(image)
    assert load(tmp_path, file) == [image]


@pytest.mark.parametrize("compress", [lzma.compress, bz2.compress])
def test_a_cut_archive_is_told_so(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(compress(docker_archive("app:1"))[:-20])
    with pytest.raises(errors.BadRequest, match="damaged data"):
        load(tmp_path, file)


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="no such file"):
        load(tmp_path, tmp_path / "none.tar")


def test_an_archive_of_many_images_brings_them_all(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    made = image_layout.Layout(folder)
    for number in range(3):
        layer = image_layout.layer(tars.make([tars.file(str(number))]))
        made.tag(made.add_image([layer], {}, architecture=manifest.host_platform().architecture), f"docker.io/library/app:{number}")
    made.save()
    assert [image.repo_tags for image in load(tmp_path, folder)] == [(f"docker.io/library/app:{number}",) for number in range(3)]
