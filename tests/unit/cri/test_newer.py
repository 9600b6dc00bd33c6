"""What the CRI has gained since the stubs were made."""

from __future__ import annotations

import asyncio

import pytest
from cri_api.v1 import api_pb2 as pb

from podspace.cri import newer


@pytest.mark.parametrize(("items", "messages"), [(0, 0), (1, 1), (64, 1), (150, 3)])
def test_a_streamed_list_has_every_item_once_and_no_empty_message(items: int, messages: int) -> None:
    async def listing(request: pb.ListPodSandboxRequest) -> pb.ListPodSandboxResponse:
        return pb.ListPodSandboxResponse(items=[pb.PodSandbox(id=str(number)) for number in range(items)])

    async def collect() -> list[pb.ListPodSandboxResponse]:
        return [part async for part in newer.streamed(listing)(pb.ListPodSandboxRequest())]  # type: ignore[misc]

    parts = asyncio.run(collect())
    assert len(parts) == messages
    assert [item.id for part in parts for item in part.items] == [str(number) for number in range(items)]


def test_every_list_that_is_streamed_holds_its_items_in_its_only_field() -> None:
    """As the messages of 1.36 do: field 1 of the request is the filter, field 1 of the answer the items."""
    for listing in newer.STREAMED.values():
        answer = pb.DESCRIPTOR.message_types_by_name[f"{listing}Response"]
        request = pb.DESCRIPTOR.message_types_by_name[f"{listing}Request"]
        assert [(field.number, field.is_repeated) for field in answer.fields] == [(1, True)]
        assert [(field.name, field.number) for field in request.fields] in ([("filter", 1)], [])


def test_a_field_the_stubs_do_not_know_is_on_the_wire() -> None:
    spec = newer.with_image_ref(pb.ImageSpec(image="busybox"), "sha256:abc")
    assert pb.Mount(container_path="/x", image=spec).SerializeToString().endswith(b"\xa2\x01\x0asha256:abc")
    assert spec.image == "busybox"


@pytest.mark.parametrize(("number", "data"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_varints(number: int, data: bytes) -> None:
    assert newer.varint(number) == data
