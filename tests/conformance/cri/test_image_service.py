"""The ImageService: one entry for an image with all its names, found under each of them, gone with all of them at once."""

from __future__ import annotations

import concurrent.futures

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri

pytestmark = pytest.mark.root


def status(client: cri.Client, name: str) -> pb.Image | None:
    answer = client.image.ImageStatus(pb.ImageStatusRequest(image=pb.ImageSpec(image=name)))
    return answer.image if answer.HasField("image") else None


def pull(client: cri.Client, name: str, **options: float) -> str:
    return str(client.image.PullImage(pb.PullImageRequest(image=pb.ImageSpec(image=name)), **options).image_ref)


def remove(client: cri.Client, name: str) -> None:
    client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=name)))


def test_an_image_is_found_by_id_tag_and_digest(client: cri.Client) -> None:
    identifier = pull(client, "busybox:1.28")
    found = status(client, "busybox:1.28")
    assert found is not None
    assert found.id == identifier
    assert list(found.repo_tags) == ["docker.io/library/busybox:1.28"]
    assert found.size
    for name in (identifier, *found.repo_tags, *found.repo_digests):
        assert status(client, name) == found
    listed = client.image.ListImages(pb.ListImagesRequest()).images
    assert [image for image in listed if image.id == identifier] == [found]
    wanted = pb.ImageFilter(image=pb.ImageSpec(image="busybox:1.28"))
    assert [image.id for image in client.image.ListImages(pb.ListImagesRequest(filter=wanted)).images] == [identifier]


def test_a_pull_by_digest_leaves_no_tag(client: cri.Client) -> None:
    pull(client, "busybox:1.28")
    known = status(client, "busybox:1.28")
    assert known is not None
    digest = known.repo_digests[0]
    remove(client, known.id)
    pull(client, digest)
    found = status(client, digest)
    assert found is not None
    assert (list(found.repo_tags), list(found.repo_digests)) == ([], [digest])
    remove(client, digest)


def test_an_untagged_name_means_latest(client: cri.Client) -> None:
    identifier = pull(client, "nginx")
    found = status(client, "nginx")
    assert found is not None
    assert (found.id, list(found.repo_tags)) == (identifier, ["docker.io/library/nginx:latest"])


def test_many_may_remove_one_image(client: cri.Client) -> None:
    identifier = pull(client, "busybox:1.28")
    with concurrent.futures.ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda _: remove(client, identifier), range(5)))
    assert status(client, identifier) is None
    assert status(client, "busybox:1.28") is None


def test_an_image_that_a_container_stands_on_stays(client: cri.Client, machine: cri.Machine) -> None:
    identifier = pull(client, "busybox:1.28")
    config = cri.sandbox_config("in-use", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.create(sandbox, config, cri.container_config("one", "busybox:1.28", config))
    assert client.status(container).image_id == identifier
    with pytest.raises(grpc.RpcError, match="used by a container"):
        remove(client, identifier)
    client.remove_sandbox(sandbox)
    remove(client, identifier)
    assert status(client, identifier) is None


def test_a_pull_ends_with_its_deadline(client: cri.Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        pull(client, "nginx:late", timeout=0.001)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_image_nobody_has_is_not_found(client: cri.Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        pull(client, "nobody/has:this")
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
