"""The crash-only promise, under random violence: whatever is killed and whenever, what the API says comes to be what runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.chaos import driver, truth
from tests.support.server import Server
from tools import image_layout, images, registry, registry_push

pytestmark = pytest.mark.root
BIG_BYTES = 24 << 20


@pytest.fixture(scope="module")
def registries_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The registry of the other tests, and busybox with a large layer of noise under three names."""
    with registry.running(tmp_path_factory.mktemp("registry")) as mirror:
        push_big_images(mirror.host, tmp_path_factory.mktemp("big"))
        yield mirror.registries_conf


def push_big_images(host: str, folder: Path) -> None:
    built = image_layout.Layout(images.layout())
    index = next(m for m in built.manifests if m["annotations"][image_layout.REF_NAME].endswith("busybox:1.28"))
    manifest = json.loads(built.blob(index["digest"]))
    if "manifests" in manifest:
        manifest = json.loads(built.blob(manifest["manifests"][0]["digest"]))
    config = json.loads(built.blob(manifest["config"]["digest"]))
    base = [
        image_layout.Layer(diff_id=diff_id, blob=built.blob(layer["digest"]), media_type=layer["mediaType"])
        for diff_id, layer in zip(config["rootfs"]["diff_ids"], manifest["layers"], strict=True)
    ]
    layout = image_layout.Layout(folder / "layout")
    for number in range(3):
        content = folder / str(number)
        content.mkdir()
        (content / "noise").write_bytes(os.urandom(BIG_BYTES))
        noise = image_layout.layer(image_layout.pack_folder(content), compression="none")
        descriptor = layout.add_image([*base, noise], config["config"], architecture=config["architecture"])
        layout.tag(descriptor, f"docker.io/library/big:{number}")
    layout.save()
    registry_push.push_layout(layout.folder, host)


def test_whatever_is_killed_the_api_comes_to_say_what_runs_and_nothing_is_left(own_server: Server) -> None:
    seed = driver.seed()
    print(f"PODSPACE_CHAOS_SEED={seed}")
    storm = driver.Storm(own_server, seed, [f"big:{number}" for number in range(3)])
    until = time.monotonic() + driver.seconds()
    try:
        while time.monotonic() < until:
            for _ in range(storm.rng.randint(3, 12)):
                storm.step()
            storm.settle()
        storm.end()
        check_open_files(own_server)
    finally:
        storm.close()
        print("\n".join(storm.tail()))  # pytest shows it when the test fails


def check_open_files(server: Server) -> None:
    """A server that went through a lot has no more open than one that has just begun."""
    assert server.process is not None
    before = truth.open_files(server.process.pid)
    server.stop()
    server.start()
    assert server.process is not None
    fresh = truth.open_files(server.process.pid)
    grown = {name: count for name, count in (before - fresh).items() if count > 3}
    assert not grown, grown
