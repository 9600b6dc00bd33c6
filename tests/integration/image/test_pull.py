"""Pulling from Debian's docker-registry: names, authorization, sharing, and what is on the disk afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace import errors
from podspace.image.auth import Credential
from podspace.image.service import Images
from podspace.linux import syscalls
from podspace.settings import Paths, Settings
from tests.support import registry
from tools import image_layout, registry_push

pytestmark = pytest.mark.root

SECRET = "correct horse"
HTPASSWD = "alice:$2b$05$ToBoLFSslPCsFJjxtCnPsemTJmvlWEG230EWKbN7rRuWNnPPQdGxK\n"  # bcrypt of SECRET


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registry.Mirror]:
    with registry.running(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def images(tmp_path: Path, mirror: registry.Mirror) -> Images:
    return Images(Settings(paths=Paths.under(tmp_path / "server"), registries_conf=mirror.registries_conf))


def work_of(root: Path) -> list[str]:
    return os.listdir(root / "lib/images/work")


def test_an_image_is_pulled_by_its_short_name_and_unpacked(images: Images) -> None:
    image = asyncio.run(images.pull("busybox:1.28"))
    assert image.repo_tags == ("docker.io/library/busybox:1.28",)
    assert image.repo_digests[0].startswith("docker.io/library/busybox@sha256:")
    assert image.config.cmd == ("sh",)
    assert os.access(image.layers[0] / "bin/busybox", os.X_OK)
    assert os.readlink(image.layers[0] / "bin/ls") == "busybox"
    assert stat.S_IMODE((image.layers[0] / "tmp").stat().st_mode) == 0o1777
    assert images.find("busybox:1.28") == images.find(image.id) == images.find(image.repo_digests[0]) == image
    assert images.find("busybox") is None


def test_every_layer_is_verified_and_reported(images: Images) -> None:
    seen: dict[str, tuple[int, int]] = {}
    image = asyncio.run(images.pull("nginx:1.14.2", progress=lambda digest, done, total: seen.__setitem__(digest, (done, total))))
    assert len(image.layers) == 3
    assert len(seen) == 3
    assert all(done == total > 0 for done, total in seen.values())
    assert (image.layers[2] / "etc/nginx/nginx.conf").read_text().startswith("user  nginx;")
    assert image.config.stop_signal == "SIGQUIT"
    assert image.config.exposed_ports == ("80/tcp",)


def test_another_tag_of_the_same_image_needs_no_layer_again(images: Images) -> None:
    async def twice() -> None:
        first = await images.pull("busybox:1.28")
        inode = first.layers[0].stat().st_ino
        second = await images.pull("busybox:latest")
        assert second.id == first.id
        assert second.repo_tags == ("docker.io/library/busybox:1.28", "docker.io/library/busybox:latest")
        assert second.layers[0].stat().st_ino == inode

    asyncio.run(twice())


def test_layers_stand_on_each_other_in_an_overlay(images: Images, tmp_path: Path) -> None:
    image = asyncio.run(images.pull("podspace-test/user"))
    merged = tmp_path / "merged"
    merged.mkdir()
    lower = ":".join(str(layer) for layer in reversed(image.layers))
    syscalls.mount("overlay", str(merged), "overlay", syscalls.MS_RDONLY, f"lowerdir={lower}")
    try:
        assert (merged / "bin/sh").exists()
        assert (merged / "home/user").stat().st_uid == 1000
        assert image.config.user == "1000:1000"
    finally:
        syscalls.umount2(str(merged))


def test_an_image_that_is_not_there_says_so_in_the_registrys_words(images: Images, mirror: registry.Mirror) -> None:
    with pytest.raises(errors.NotFound) as raised:
        asyncio.run(images.pull("nosuch"))
    name = "docker.io/library/nosuch:latest"
    assert str(raised.value) == (
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found '
        f"({mirror.host}: manifest unknown)"
    )


def test_pulls_of_the_same_image_at_once_share_the_work(images: Images) -> None:
    async def many() -> None:
        pulled = await asyncio.gather(*(images.pull("nginx") for _ in range(5)))
        assert len({image.id for image in pulled}) == 1

    asyncio.run(many())


def test_a_cancelled_pull_leaves_nothing_and_does_not_stop_another(images: Images, tmp_path: Path) -> None:
    async def race() -> None:
        first = asyncio.ensure_future(images.pull("nginx"))
        second = asyncio.ensure_future(images.pull("nginx:1.25"))  # the same layers by another name
        progressed = asyncio.Event()
        third = asyncio.ensure_future(images.pull("nginx", progress=lambda *_: progressed.set()))
        await progressed.wait()
        first.cancel()
        third.cancel()
        await asyncio.wait({first, third})
        assert first.cancelled()
        image = await second
        assert image.repo_tags == ("docker.io/library/nginx:1.25",)

    asyncio.run(race())
    assert work_of(tmp_path / "server") == []


def test_an_image_present_by_digest_needs_no_registry(images: Images, tmp_path: Path) -> None:
    image = asyncio.run(images.pull("busybox"))
    dead = tmp_path / "dead.conf"
    dead.write_text(registry.conf_text("127.0.0.1:1"))
    offline = Images(Settings(paths=Paths.under(tmp_path / "server"), registries_conf=dead))
    assert asyncio.run(offline.pull(image.repo_digests[0])) == image
    with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1"):
        asyncio.run(offline.pull("busybox"))


def test_removing_a_name_keeps_what_others_stand_on(images: Images, tmp_path: Path) -> None:
    async def lives() -> None:
        busybox = await images.pull("busybox")
        await images.pull("busybox:1.28")
        user = await images.pull("podspace-test/user")
        assert user.layers[0] == busybox.layers[0]
        assert await images.remove("busybox") == ("docker.io/library/busybox:latest",)
        with pytest.raises(errors.FailedPrecondition, match="used by a container"):
            await images.remove("busybox:1.28", in_use={busybox.id})
        assert await images.remove("busybox:1.28") == ("docker.io/library/busybox:1.28", busybox.id)
        assert images.find(busybox.id) is None
        assert (user.layers[0] / "bin/busybox").exists()
        await images.remove(user.id)
        assert os.listdir(tmp_path / "server/lib/images/layers") == []
        assert os.listdir(tmp_path / "server/lib/images/blobs/sha256") == []
        with pytest.raises(errors.NotFound):
            await images.remove("busybox")

    asyncio.run(lives())
    assert work_of(tmp_path / "server") == []


def test_two_processes_see_each_others_images(images: Images, tmp_path: Path, mirror: registry.Mirror) -> None:
    assert images.list() == []
    other = Images(Settings(paths=Paths.under(tmp_path / "server"), registries_conf=mirror.registries_conf))
    image = asyncio.run(other.pull("busybox"))
    assert images.list() == [image]
    asyncio.run(images.remove("busybox"))
    assert other.find("busybox") is None


def test_nobody_but_root_can_look_into_the_images(images: Images, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "server/lib/images").stat().st_mode) == 0o700


def test_a_missing_layer_is_brought_again(images: Images) -> None:
    async def twice() -> None:
        image = await images.pull("podspace-test/user")
        os.rename(image.layers[1], image.layers[1].with_name("lost"))
        again = await images.pull("podspace-test/user")
        assert again.layers == image.layers
        assert (again.layers[1] / "home/user").exists()

    asyncio.run(twice())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mirror: registry.Mirror) -> Iterator[registry.Mirror]:
    """A registry that wants a name and a password for everything."""
    folder = tmp_path_factory.mktemp("guarded")
    with registry.running(folder, with_images=False, htpasswd=HTPASSWD) as running:
        layout = image_layout.Layout(folder / "layout")
        layer = image_layout.layer(image_layout.pack_folder(_small_tree(folder / "tree")))
        descriptor = layout.add_image([layer], {}, architecture=_architecture())
        layout.tag(descriptor, "docker.io/private/image:latest")
        layout.save()
        registry_push.push_layout(folder / "layout", running.host, username="alice", password=SECRET)
        yield running


def _small_tree(root: Path) -> Path:
    root.mkdir()
    (root / "file").write_text("private")
    return root


def _architecture() -> str:
    from podspace.image import manifest

    return manifest.host_platform().architecture


def test_basic_auth_takes_the_callers_credential(guarded: registry.Mirror, tmp_path: Path) -> None:
    images = Images(Settings(paths=Paths.under(tmp_path / "server"), registries_conf=guarded.registries_conf))
    good = Credential(scope=guarded.host, username="alice", password=SECRET)
    image = asyncio.run(images.pull("private/image", credentials=[good]))
    assert (image.layers[0] / "file").read_text() == "private"


@pytest.mark.parametrize("credentials", [(), (Credential(scope="", username="alice", password="wrong horse"),)], ids=["none", "wrong"])
def test_basic_auth_refuses_in_the_registrys_words_and_without_the_secret(
    guarded: registry.Mirror, tmp_path: Path, credentials: tuple[Credential, ...]
) -> None:
    images = Images(Settings(paths=Paths.under(tmp_path / "server"), registries_conf=guarded.registries_conf))
    with pytest.raises(errors.Unauthorized, match=r"pull access denied.*unauthorized: authentication required") as raised:
        asyncio.run(images.pull("private/image", credentials=credentials))
    assert "horse" not in str(raised.value)
    assert images.list() == []


def test_credentials_come_from_the_machines_files_too(guarded: registry.Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auth_file = tmp_path / "auth.json"
    auth_file.write_text(json.dumps({"auths": {f"{guarded.host}/private": {"username": "alice", "password": SECRET}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(auth_file))
    images = Images(Settings(paths=Paths.under(tmp_path / "server"), registries_conf=guarded.registries_conf))
    assert asyncio.run(images.pull("private/image")).repo_tags == ("docker.io/private/image:latest",)
