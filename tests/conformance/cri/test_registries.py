"""PullImage at registries that want to know who asks, or that never answer, and the figures a kubelet's image collection goes by."""

from __future__ import annotations

import base64
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri
from tools import registry

pytestmark = pytest.mark.root

USER, PASSWORD = "user", "correct horse"
HTPASSWD = "user:$2b$05$ToBoLFSslPCsFJjxtCnPsemTJmvlWEG230EWKbN7rRuWNnPPQdGxK\n"  # bcrypt of PASSWORD


@dataclass(frozen=True)
class Scene:
    machine: cri.Machine
    guarded: str  # a registry that lets one user in
    stuck: str  # one that takes connections and says nothing


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    try:
        with registry.running(folder / "reg"):
            pass  # pushed while anybody may
        with (
            registry.running(folder / "reg", with_images=False, htpasswd=HTPASSWD) as mirror,
            socket.create_server(("127.0.0.1", 0)) as mute,
        ):
            stuck = f"127.0.0.1:{mute.getsockname()[1]}"
            conf = folder / "registries.conf"
            conf.write_text("".join(registry.conf_text(host, prefix=host) for host in (mirror.host, stuck)))
            with cri.running(folder / "r", conf) as machine:
                yield Scene(machine, mirror.host, stuck)
                assert PASSWORD not in "".join(machine.server.log)
    finally:
        shutil.rmtree(folder)


def pull(scene: Scene, image: str, **auth: str) -> pb.PullImageResponse:
    request = pb.PullImageRequest(image=pb.ImageSpec(image=image), auth=pb.AuthConfig(**auth) if auth else None)
    answer: pb.PullImageResponse = scene.machine.client.image.PullImage(request, timeout=cri.SECONDS)
    return answer


def listed(scene: Scene) -> list[pb.Image]:
    return list(scene.machine.client.image.ListImages(pb.ListImagesRequest()).images)


def test_the_right_credentials_open_the_door_in_every_form(scene: Scene) -> None:
    image = f"{scene.guarded}/library/busybox:1.28"
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    elsewhere = {"username": USER, "password": PASSWORD, "server_address": "registry.example.com"}
    for wrong in ({}, {"username": USER, "password": "wr0ng"}, {"registry_token": "wr0ng"}, elsewhere):
        with pytest.raises(grpc.RpcError, match="pull access denied") as refused:
            pull(scene, image, **wrong)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "wr0ng" not in str(refused.value.details())
    assert listed(scene) == []
    good = ({"username": USER, "password": PASSWORD}, {"auth": pair}, {"auth": pair, "server_address": f"https://{scene.guarded}/v2/"})
    for right in good:
        identifier = pull(scene, image, **right).image_ref
        assert [found.id for found in listed(scene)] == [identifier]
        scene.machine.client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=identifier)))


def test_a_pull_that_gets_nowhere_can_be_given_up_and_leaves_nothing(scene: Scene) -> None:
    request = pb.PullImageRequest(image=pb.ImageSpec(image=f"{scene.stuck}/any/image:1"))
    call = scene.machine.client.image.PullImage.future(request)
    with pytest.raises(grpc.FutureTimeoutError):
        call.result(timeout=0.3)
    call.cancel()
    with pytest.raises(grpc.RpcError) as late:
        scene.machine.client.image.PullImage(request, timeout=0.3)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert listed(scene) == []


def test_the_figures_of_image_collection(scene: Scene) -> None:
    client = scene.machine.client
    identifier = pull(scene, f"{scene.guarded}/library/busybox:1.28", username=USER, password=PASSWORD).image_ref
    scene.machine.restart()  # measured anew, rather than half a minute later
    client = scene.machine.client
    answer = client.image.ImageFsInfo(pb.ImageFsInfoRequest())
    (images,), (containers,) = answer.image_filesystems, answer.container_filesystems
    (image,) = listed(scene)
    assert (image.id, image.pinned) == (identifier, False)  # there is no pause image, so nothing is pinned
    assert images.used_bytes.value > image.size / 2 > 0
    assert images.inodes_used.value > containers.inodes_used.value
    assert abs(images.timestamp - time.time_ns()) < 60e9
    # a kubelet takes two folders for two disks
    assert images.fs_id.mountpoint == containers.fs_id.mountpoint == str(scene.machine.server.paths.lib)
