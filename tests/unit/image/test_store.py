"""Images on disk: what survives a crash, what does not, and who may remove what."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podspace import errors
from podspace.image import durable, manifest
from podspace.image.model import Image
from podspace.image.service import Images
from podspace.image.store import ImageStore
from podspace.settings import Paths, Settings
from tests.unit.image import tars
from tools import image_layout

BASE = tars.make([tars.folder("./"), tars.file("base")])


def images_below(root: Path) -> Images:
    return Images(Settings(paths=Paths.under(root)))


def store_below(root: Path) -> ImageStore:
    return ImageStore(Paths.under(root).images)


def load(root: Path, *names: str, top: str = "top") -> Image:
    """An image of two layers, the lower one the same for all."""
    layout = image_layout.Layout(root / f"layout-{os.urandom(4).hex()}")
    layers = [image_layout.layer(each) for each in (BASE, tars.make([tars.file(top)]))]
    layout.tag(layout.add_image(layers, {"Cmd": [top]}, architecture=manifest.host_platform().architecture), *names)
    layout.save()
    (image,) = asyncio.run(images_below(root).load(layout.folder))
    return image


def remove(root: Path, name: str, **more: set[str]) -> tuple[str, ...]:
    return asyncio.run(images_below(root).remove(name, **more))


def test_removing_the_last_name_removes_the_image_and_keeps_what_others_stand_on(tmp_path: Path) -> None:
    one = load(tmp_path, "docker.io/library/one:1", "docker.io/library/one:2", top="a")
    two = load(tmp_path, "docker.io/library/two:1", top="b")
    assert one.layers[0] == two.layers[0]
    assert remove(tmp_path, "one:1") == ("docker.io/library/one:1",)
    assert remove(tmp_path, "one:2") == ("docker.io/library/one:2", one.id)
    assert images_below(tmp_path).list() == [two]
    assert not one.layers[1].exists()
    assert (two.layers[0] / "base").exists()
    remove(tmp_path, two.id)
    store = Paths.under(tmp_path).images
    assert [os.listdir(store / folder) for folder in ("layers", "blobs/sha256", "work")] == [[], [], []]


def test_an_image_is_removed_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    image = load(tmp_path, "docker.io/library/one:1")
    assert remove(tmp_path, image.id[7:19]) == ("docker.io/library/one:1", image.id)
    with pytest.raises(errors.NotFound):
        remove(tmp_path, image.id[7:19])


def test_a_name_that_looks_like_an_id_is_a_name_first(tmp_path: Path) -> None:
    image = load(tmp_path, "docker.io/library/one:1")
    short = image.id[7:19]
    named = load(tmp_path, f"docker.io/library/{short}:latest", top="x")
    assert remove(tmp_path, short) == (f"docker.io/library/{short}:latest", named.id)


def test_what_a_container_stands_on_is_not_removed(tmp_path: Path) -> None:
    image = load(tmp_path, "docker.io/library/one:1", "docker.io/library/one:2")
    for name in (image.id, image.id[:20]):
        with pytest.raises(errors.FailedPrecondition, match="used by a container"):
            remove(tmp_path, name, in_use={image.id})
    assert remove(tmp_path, "one:1", in_use={image.id}) == ("docker.io/library/one:1",)
    with pytest.raises(errors.FailedPrecondition, match="used by a container"):
        remove(tmp_path, "one:2", in_use={image.id})


def test_names_that_are_not_there_or_no_names_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="not on this machine"):
        remove(tmp_path, "nosuch")
    with pytest.raises(errors.BadRequest, match="invalid reference format"):
        remove(tmp_path, "No Such")


def test_another_process_is_noticed_at_once(tmp_path: Path) -> None:
    server = images_below(tmp_path)
    assert server.find("one:1") is None
    image = load(tmp_path, "docker.io/library/one:1")
    assert server.find("one:1") == image
    remove(tmp_path, "one:1")
    assert server.find("one:1") is None
    assert server.list() == []


def test_leftovers_of_a_crash_are_removed_and_nothing_else(tmp_path: Path) -> None:
    image = load(tmp_path, "docker.io/library/one:1")
    root = Paths.under(tmp_path).images
    dead = root / "work" / "dead"
    (dead / "usr").mkdir(parents=True)
    (dead / "usr/file").write_text("half")
    before_reboot, unmarked, this_boot = ("sha256:" + letter * 64 for letter in "abc")
    store = store_below(tmp_path)
    for chain in (before_reboot, unmarked, this_boot):
        store.layer_folder(chain).mkdir()
    (root / "layers" / f"{'a' * 64}.json").write_text('{"boot": "another"}')
    (root / "layers" / f"{'c' * 64}.json").write_text(json.dumps({"boot": durable.boot_id()}))
    with store.workspace() as alive:
        asyncio.run(images_below(tmp_path).recover())
        assert alive.exists()
    assert not dead.exists()
    assert [store.has_layer(chain) for chain in (before_reboot, unmarked, this_boot)] == [False, False, True]
    assert not store.layer_folder(before_reboot).exists()
    assert images_below(tmp_path).find("one:1") == image
    assert all(layer.is_dir() for layer in image.layers)


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom podspace.image.store import ImageStore\n"
        "store = ImageStore(Path(sys.argv[1]))\n"
        "with store.pulling(), store.workspace() as folder:\n"
        "    (folder / 'half').write_text('x')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Paths.under(tmp_path).images
    done = subprocess.run([sys.executable, "-c", script, str(root)], env={**os.environ, "PYTHONPATH": "src"}, check=False)
    assert done.returncode == -9
    assert len(os.listdir(root / "work")) == 1
    image = load(tmp_path, "docker.io/library/one:1")
    asyncio.run(images_below(tmp_path).recover())
    remove(tmp_path, image.id)
    assert [os.listdir(root / folder) for folder in ("layers", "work")] == [[], []]


def test_while_somebody_pulls_layers_stay(tmp_path: Path) -> None:
    image = load(tmp_path, "docker.io/library/one:1")
    with store_below(tmp_path).pulling():
        remove(tmp_path, "one:1")
        assert images_below(tmp_path).find("one:1") is None
        assert image.layers[0].exists()
    store_below(tmp_path).collect()
    assert not image.layers[0].exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 1}', '{"version": 1, "images": [{"what": 1}]}', '{"version": 1, "images": 7}']
)
def test_a_damaged_index_is_told_with_what_to_do(tmp_path: Path, content: str) -> None:
    load(tmp_path, "docker.io/library/one:1")
    (Paths.under(tmp_path).images / "index.json").write_text(content)
    with pytest.raises(errors.Internal, match=r"index\.json is damaged"):
        images_below(tmp_path).find("one:1")


def test_a_newer_format_is_not_guessed_at(tmp_path: Path) -> None:
    load(tmp_path, "docker.io/library/one:1")
    (Paths.under(tmp_path).images / "index.json").write_text('{"version": 2, "images": []}')
    with pytest.raises(errors.Internal, match="another version"):
        images_below(tmp_path).list()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    durable.write_atomically(target, b"old")

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write_atomically(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_nobody_else_may_look_inside(tmp_path: Path) -> None:
    load(tmp_path, "docker.io/library/one:1")
    assert Paths.under(tmp_path).images.stat().st_mode & 0o777 == 0o700
