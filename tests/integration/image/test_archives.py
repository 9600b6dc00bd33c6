"""Images in files as other tools write them, and as ours does."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from podspace import errors
from podspace.image.service import Images
from podspace.settings import Paths, Settings
from tools import image_layout
from tools import images as made_images
from tools.image_recipes import RECIPES

pytestmark = pytest.mark.root

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


@pytest.fixture(scope="module")
def layout() -> Path:
    return made_images.layout()


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(Settings(paths=Paths.under(tmp_path / "server")))


def skopeo(layout: Path, target: str) -> None:
    source = f"oci:{layout}:docker.io/library/busybox:1.28"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", source, target], check=True)


def test_a_layout_folder_with_several_images_is_loaded(images: Images, layout: Path) -> None:
    loaded = asyncio.run(images.load(layout))
    assert {tag for image in loaded for tag in image.repo_tags} == {f"{recipe.name}:{tag}" for recipe in RECIPES for tag in recipe.tags}
    busybox = images.find("busybox:1.28")
    assert busybox is not None
    assert "docker.io/library/busybox:latest" in busybox.repo_tags
    user = images.find("podspace-test/user")
    assert user is not None
    assert user.layers[0] == busybox.layers[0]
    assert os.access(busybox.layers[0] / "bin/busybox", os.X_OK)


def test_an_oci_archive_is_loaded(images: Images, layout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "images.tar"
    image_layout.archive(layout, archive)
    seen: list[tuple[str, int, int]] = []
    asyncio.run(images.load(archive, progress=lambda *step: seen.append(step)))
    assert images.find("nginx") is not None
    assert seen


@needs_skopeo
@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_is_loaded(images: Images, layout: Path, tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "busybox.tar"
    skopeo(layout, f"{kind}:{archive}:docker.io/library/busybox:1.28")
    (image,) = asyncio.run(images.load(archive))
    assert image.repo_tags == ("docker.io/library/busybox:1.28",)
    assert image.config.cmd == ("sh",)
    assert (image.layers[0] / "bin/busybox").stat().st_mode & 0o111


@needs_skopeo
def test_a_compressed_docker_archive_is_loaded(images: Images, layout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "busybox.tar"
    skopeo(layout, f"docker-archive:{archive}:busybox:1.28")
    subprocess.run(["gzip", "-1", str(archive)], check=True)
    (image,) = asyncio.run(images.load(archive.with_suffix(".tar.gz")))
    assert images.find("busybox:1.28") == image


def test_a_file_that_is_not_there_or_no_image_is_told(images: Images, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="no such file"):
        asyncio.run(images.load(tmp_path / "nothing.tar"))
    (tmp_path / "text").write_text("hello" * 1000)
    with pytest.raises(errors.BadRequest, match=r"failed to load .*neither a tarball"):
        asyncio.run(images.load(tmp_path / "text"))
