"""Manifests of small Pods, and what a test asks a server about them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.support.server import Server

T = TypeVar("T")
Manifest = dict[str, Any]
IMAGE = "busybox:1.28"


def box(script: str, name: str = "c", **fields: Any) -> Manifest:
    """A container that runs a shell script."""
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script]} | fields


def pod(name: str, *containers: Manifest, **spec: Any) -> Manifest:
    """A Pod that leaves quickly; ``metadata`` is merged into its own."""
    metadata = {"name": name} | spec.pop("metadata", {})
    base = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": list(containers)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": base | spec}


def create(server: Server, *objects: Manifest) -> None:
    """Apply everything with one command, so that it all happens at the same time."""
    server.apply({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def output(server: Server, name: str, container: str = "c") -> list[str]:
    """The lines a Pod's container has printed, once the Pod has succeeded."""
    server.wait_for(name, "{.status.phase}=Succeeded")
    return server.kubectl("logs", name, "-c", container).splitlines()


def events(server: Server, name: str) -> list[Manifest]:
    """What was told of a Pod, oldest first."""
    found = json.loads(server.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json"))
    return sorted(found["items"], key=lambda event: int(event["metadata"]["name"].rpartition(".")[2], 16))


def told(server: Server, name: str) -> list[tuple[str, str]]:
    """(reason, message) of a Pod's events, oldest first."""
    return [(event["reason"], event["message"]) for event in events(server, name)]


def eventually(look: Callable[[], T], fine: Callable[[T], object] = bool, *, seconds: float = 90) -> T:
    """What is seen once it is ``fine``: what a process does in its own time comes some moments after what is told of it."""
    until = time.monotonic() + seconds
    while not fine(found := look()):
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


def container_status(server: Server, name: str, container: str = "c") -> Manifest:
    status = server.pod(name)["status"]
    every = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()), *status.get("ephemeralContainerStatuses", ())]
    return next(entry for entry in every if entry["name"] == container)


def node_name(server: Server) -> str:
    return server.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")


def wait_told(server: Server, name: str, reason: str, *, seconds: float = 60) -> list[str]:
    """The messages of a Pod's events with this reason, once there is one."""
    story = eventually(lambda: told(server, name), lambda told: reason in dict(told), seconds=seconds)
    return [message for why, message in story if why == reason]


def why_unscheduled(server: Server, name: str) -> str:
    """What the scheduler says of a Pod that it cannot place, once it has said so."""
    server.wait_for(name, '{.status.conditions[?(@.type=="PodScheduled")].reason}=Unschedulable')
    conditions = server.pod(name)["status"]["conditions"]
    return next(str(condition["message"]) for condition in conditions if condition["type"] == "PodScheduled")
