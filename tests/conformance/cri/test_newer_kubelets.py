"""What kubelets newer than the stubs ask, on the wire: streamed lists, a field for an image volume's digest, RPCs nobody knows yet."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from podspace.cri import newer
from tests.support import cri

pytestmark = pytest.mark.root


def stream(client: cri.Client, service: str, rpc: str, request: bytes = b"") -> list[bytes]:
    call: Any = client.channel.unary_stream(f"/runtime.v1.{service}/{rpc}")
    return list(call(request, timeout=cri.SECONDS))


def test_lists_can_be_had_as_streams(machine: cri.Machine) -> None:
    client = machine.client
    config = cri.sandbox_config("streamed", machine.logs)
    sandbox = client.run_sandbox(config)
    mount = pb.Mount(container_path="/image", image=pb.ImageSpec(image="busybox:1.28"), readonly=True)
    image = client.pull("busybox:1.28")
    container = client.run(sandbox, config, cri.container_config("one", image, config, command=["sleep", "1000"], mounts=[mount]))

    wanted = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(id=sandbox)).SerializeToString()
    (data,) = stream(client, "RuntimeService", "StreamPodSandboxes", wanted)
    assert [item.id for item in pb.ListPodSandboxResponse.FromString(data).items] == [sandbox]
    (data,) = stream(client, "RuntimeService", "StreamContainers")
    assert container in [item.id for item in pb.ListContainersResponse.FromString(data).containers]
    (data,) = stream(client, "RuntimeService", "StreamContainerStats")
    assert container in [item.attributes.id for item in pb.ListContainerStatsResponse.FromString(data).stats]
    (data,) = stream(client, "RuntimeService", "StreamPodSandboxStats")
    assert sandbox in [item.attributes.id for item in pb.ListPodSandboxStatsResponse.FromString(data).stats]
    (data,) = stream(client, "RuntimeService", "StreamPodSandboxMetrics")
    assert sandbox in [item.pod_sandbox_id for item in pb.ListPodSandboxMetricsResponse.FromString(data).pod_metrics]
    (data,) = stream(client, "ImageService", "StreamImages")
    assert image in [item.id for item in pb.ListImagesResponse.FromString(data).images]
    nothing = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector={"no": "such"})).SerializeToString()
    assert stream(client, "RuntimeService", "StreamPodSandboxes", nothing) == []

    told = client.status(container).mounts[0].image
    assert told == newer.with_image_ref(pb.ImageSpec(image="busybox:1.28", user_specified_image="busybox:1.28"), image)


def test_what_nobody_serves_is_unimplemented(client: cri.Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stream(client, "RuntimeService", "DoWhatIsNotThoughtOfYet")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
