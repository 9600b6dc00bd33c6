"""A pull that dies: killed, out of disk, or with the machine. Nothing half-done is visible, and the next pull finishes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace import errors
from podspace.image.service import Images
from podspace.linux import syscalls
from podspace.settings import Paths, Settings
from tests.unit.image import fake_registry, tars

pytestmark = pytest.mark.root

BASE = tars.make([tars.folder("./"), tars.folder("etc"), tars.file("etc/base", b"base")])
TOP = tars.make([tars.file("noise", os.urandom(3 << 20))])

_PULL = """
import asyncio, sys
from pathlib import Path
from podspace.image.service import Images
from podspace.settings import Paths, Settings

def tell(digest, done, total):
    if total and done == total:
        print(digest, flush=True)

asyncio.run(Images(Settings(paths=Paths.under(Path(sys.argv[1])))).pull(sys.argv[2], progress=tell))
"""


@pytest.fixture(autouse=True)
def _no_machine_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", os.devnull)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem with room for the base layer only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    syscalls.mount("tmpfs", str(disk), "tmpfs", 0, "size=1m")
    yield disk
    syscalls.umount2(str(disk))


def images_below(root: Path) -> Images:
    return Images(Settings(paths=Paths.under(root)))


def store(root: Path) -> Path:
    return Paths.under(root).images


async def killed_in_the_second_layer(registry: fake_registry.FakeRegistry, root: Path, name: str) -> None:
    """Pull in another process and kill it when the first layer is done and the second one is not."""
    base, top = registry.blobs_of("app", "1")
    registry.gates[top] = asyncio.Event()
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", _PULL, str(root), name, stdout=asyncio.subprocess.PIPE)
    assert program.stdout is not None
    assert (await program.stdout.readline()).decode().strip() == base
    await registry.reached.wait()
    while not list((store(root) / "layers").glob("*.json")):  # noqa: ASYNC110 - another process commits it, a breath after it told
        await asyncio.sleep(0.01)
    program.send_signal(signal.SIGKILL)
    await program.wait()
    registry.gates.pop(top).set()


def test_a_killed_pull_is_taken_over_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_registry.running() as registry:
            registry.add_image("app", "1", [BASE, TOP])
            name = f"{registry.host}/app:1"
            await killed_in_the_second_layer(registry, tmp_path, name)
            assert os.listdir(store(tmp_path) / "work") != []
            images = images_below(tmp_path)
            assert images.list() == []
            await images.recover()
            assert os.listdir(store(tmp_path) / "work") == []
            registry.log.clear()
            image = await images.pull(name)
            assert (image.layers[1] / "noise").stat().st_size == 3 << 20
            assert registry.asked_for(registry.blobs_of("app", "1")[0]) == 0, "the finished layer was still good"

    asyncio.run(main())


def test_what_a_dead_pull_unpacked_is_not_trusted_after_the_machine_went_down(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_registry.running() as registry:
            registry.add_image("app", "1", [BASE, TOP])
            name = f"{registry.host}/app:1"
            await killed_in_the_second_layer(registry, tmp_path, name)
            for marker in (store(tmp_path) / "layers").glob("*.json"):
                marker.write_text(json.dumps({"boot": "another"}))
            images = images_below(tmp_path)
            await images.recover()
            assert os.listdir(store(tmp_path) / "layers") == []
            await images.pull(name)
            for marker in (store(tmp_path) / "layers").glob("*.json"):
                marker.write_text(json.dumps({"boot": "another"}))
            await images.recover()
            found = images.find(name)
            assert found is not None
            assert all(layer.is_dir() for layer in found.layers), "what the index names was synced before it was named"

    asyncio.run(main())


def test_a_living_pull_is_left_alone_by_another_process_that_recovers(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_registry.running() as registry:
            registry.add_image("app", "1", [BASE, TOP])
            gate = registry.gates[registry.blobs_of("app", "1")[1]] = asyncio.Event()
            pull = asyncio.ensure_future(images_below(tmp_path).pull(f"{registry.host}/app:1"))
            await registry.reached.wait()
            await images_below(tmp_path).recover()
            gate.set()
            image = await pull
            assert (image.layers[1] / "noise").exists()

    asyncio.run(main())


def test_a_full_disk_is_told_and_the_images_that_are_there_stay(small_disk: Path) -> None:
    async def main() -> None:
        async with fake_registry.running() as registry:
            registry.add_image("app", "1", [BASE, TOP])
            registry.add_image("small", "1", [BASE])
            images = images_below(small_disk)
            small = await images.pull(f"{registry.host}/small:1")
            with pytest.raises(errors.Unavailable, match=r"cannot write 'noise': No space left on device"):
                await images.pull(f"{registry.host}/app:1")
            assert images.list() == [small]
            assert os.listdir(store(small_disk) / "work") == []
            assert (small.layers[0] / "etc/base").read_text() == "base"

    asyncio.run(main())


def test_a_damaged_index_is_told_and_not_overwritten(tmp_path: Path) -> None:
    images = images_below(tmp_path)
    index = store(tmp_path) / "index.json"
    index.write_text('{"version": 1, "images": [{')
    with pytest.raises(errors.Internal, match="is damaged"):
        images.list()
    assert index.read_text().endswith("[{")
