"""GetContainerEvents, and both front doors in one server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri

pytestmark = pytest.mark.root


def test_a_container_that_ends_by_itself_is_told(client: cri.Client, machine: cri.Machine) -> None:
    image = client.pull("busybox:1.28")
    events = client.runtime.GetContainerEvents(pb.GetEventsRequest(), timeout=30)
    assert client.sandboxes() is not None  # the stream's request went first on this connection, and so it is served
    config = cri.sandbox_config("events", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", image, config, command=["sh", "-c", "exit 7"]))
    seen: list[Any] = []
    for event in events:
        seen.append(event)
        if event.container_event_type == pb.CONTAINER_STOPPED_EVENT and event.container_id == container:
            break
    kinds = [(event.container_id, event.container_event_type) for event in seen]
    for kind in (pb.CONTAINER_CREATED_EVENT, pb.CONTAINER_STARTED_EVENT):
        assert (sandbox, kind) in kinds
    assert (container, pb.CONTAINER_CREATED_EVENT) in kinds
    last = seen[-1]
    assert last.pod_sandbox_status.id == sandbox
    assert [(status.id, status.exit_code) for status in last.containers_statuses] == [(container, 7)]
    client.stop_sandbox(sandbox)
    client.remove_sandbox(sandbox)
    for event in events:
        if event.container_event_type == pb.CONTAINER_DELETED_EVENT and event.container_id == sandbox:
            break
    events.cancel()


def test_neither_front_door_sees_the_others_sandboxes(root: Path, registries_conf: Path) -> None:
    with cri.running(root, registries_conf, verb="serve") as both:
        config = cri.sandbox_config("kubelets", both.logs)
        sandbox = both.client.run_sandbox(config)
        image = both.client.pull("busybox:1.28")
        container = both.client.run(sandbox, config, cri.container_config("one", image, config, command=["sleep", "1000"]))
        both.server.kubectl("run", "ours", "--image=busybox:1.28", "--restart=Never", "--", "sleep", "1000")
        both.server.wait_ready("ours")
        assert both.client.sandboxes() == [sandbox]
        assert both.client.containers() == [container]
        assert both.server.kubectl("get", "pods", "-o", "name").split() == ["pod/ours"]
        both.restart()
        assert both.client.status(container).state == pb.CONTAINER_RUNNING
        both.server.wait_ready("ours")
        both.client.remove_everything()
        both.server.wait_ready("ours")
