"""What the CRI has gained since the stubs were made, as far as it can be spoken without newer ones.

Streamed lists (Kubernetes 1.36) carry the same items under the same numbers as the lists that are in the stubs, so those messages serve.
A field the stubs do not know is written as its bytes: protobuf keeps what it does not know and passes it on.
Called by ``server`` and ``describe``. Source: KEP-5825; cri-api api.proto of 1.36.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from cri_api.v1 import api_pb2 as pb
from google.protobuf.message import Message

STREAMED = {
    "StreamPodSandboxes": "ListPodSandbox",
    "StreamContainers": "ListContainers",
    "StreamContainerStats": "ListContainerStats",
    "StreamPodSandboxStats": "ListPodSandboxStats",
    "StreamPodSandboxMetrics": "ListPodSandboxMetrics",
    "StreamImages": "ListImages",
}
_ITEMS = 64  # in one message: the largest, metrics of a Pod with many containers, then stay far below gRPC's 4 MiB
_IMAGE_REF = 20  # the field's number in ImageSpec
_BYTES = 2  # protobuf's wire type


def streamed(method: Callable[[Any], Awaitable[Message]]) -> Callable[[Any], AsyncIterator[Message]]:
    """A list as a stream of lists of at least one item; none at all is an empty stream."""

    async def stream(request: Any) -> AsyncIterator[Message]:
        answer = await method(request)
        (field,) = answer.DESCRIPTOR.fields
        items = getattr(answer, field.name)
        for start in range(0, len(items), _ITEMS):
            yield type(answer)(**{field.name: items[start : start + _ITEMS]})

    return stream


def with_image_ref(spec: pb.ImageSpec, reference: str) -> pb.ImageSpec:
    """The spec with ``image_ref``, by which a kubelet tells what a volume's image is."""
    data = reference.encode()
    field = varint(_IMAGE_REF << 3 | _BYTES) + varint(len(data)) + data
    return pb.ImageSpec.FromString(spec.SerializeToString() + field)


def varint(number: int) -> bytes:
    """Source: protobuf's encoding, base 128."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))
