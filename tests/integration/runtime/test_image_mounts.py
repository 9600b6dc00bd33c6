"""What an image holds, mounted into a container beside its root."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from podspace import errors
from podspace.linux import mounts
from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root


def _two_layers(root: Path) -> rig.Image:
    """The upper layer deletes a file of the lower one and leads out of the image by every kind of symlink."""
    lower, upper = root / "lower", root / "upper"
    for layer in (lower, upper):
        (layer / "data/deep").mkdir(parents=True)
    (lower / "data/gone").write_text("deleted above")
    (lower / "data/deep/file").write_text("from below\n")
    os.mknod(upper / "data/gone", 0o020000, os.makedev(0, 0))  # a whiteout
    (upper / "data/more").write_text("from above\n")
    (upper / "out").symlink_to("/etc")
    (upper / "up").symlink_to("../../../../../../etc")
    (upper / "within").symlink_to("/data/deep")
    shutil.copy("/bin/busybox", upper / "echo")
    return rig.Image(id="model", layers=(lower, upper))


def test_an_images_content_is_there_read_only_and_may_be_run(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        here.images.known["model"] = _two_layers(root)
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(
            sandbox,
            "sleep",
            "1000",
            mounts=(
                model.Mount(destination="/model", image="model"),
                model.Mount(destination="/deep", image="model", image_sub_path="within"),
                model.Mount(destination="/lone", image="busybox", image_sub_path="etc"),
            ),
        )
        assert (await here.output(container, "sh", "-c", "cd /model && ls -d data/* && cat data/deep/file data/more")).split("\n") == [
            "data/deep",
            "data/more",
            "from below",
            "from above",
            "",
        ]
        assert await here.output(container, "cat", "/deep/file") == "from below\n"
        assert await here.output(container, "cat", "/lone/where") == "image\n"
        assert await here.output(container, "/model/echo", "ran") == "ran\n"
        for path in ("/model/new", "/deep/new", "/lone/where"):
            denied = await here.engine.exec_sync(container, ["sh", "-c", f"echo x > {path}"])
            assert b"Read-only file system" in denied.stderr
        assert here.engine.images_in_use() == {"busybox", "model"}
        await here.engine.remove_container(container)
        assert here.engine.images_in_use() == frozenset()
        assert not mounts.below(here.settings.paths.run / "containers")

    rig.play(root, scene)


def test_a_sub_path_leads_nowhere_but_to_a_folder_of_the_image(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        here.images.known["model"] = _two_layers(root)
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        for path, words in (("absent", "No such file"), ("data/more", "only a folder"), ("out", "No such file"), ("up", "No such file")):
            with pytest.raises(errors.FailedPrecondition, match=words):
                await here.create(sandbox, "true", mounts=(model.Mount(destination="/m", image="model", image_sub_path=path),))
        with pytest.raises(errors.NotFound, match="image absent"):
            await here.create(sandbox, "true", mounts=(model.Mount(destination="/m", image="absent"),))

    rig.play(root, scene)


def test_an_image_without_layers_is_an_empty_folder(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        here.images.known["none"] = rig.Image(id="none", layers=())
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sleep", "1000", mounts=(model.Mount(destination="/m", image="none"),))
        assert await here.output(container, "ls", "-A", "/m") == ""

    rig.play(root, scene)
