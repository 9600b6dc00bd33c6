"""One entry of ``containerStatuses``: what a container does now, what its last instance did, and why it waits.

Pure; part of ``status``. Source: kubelet pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.node import decide, messages
from podspace.node.configs import IMAGE_NAME, IMAGE_REF
from podspace.node.pod import Container, Role
from podspace.node.probes import Health
from podspace.runtime import spec_process
from podspace.runtime.model import ContainerState, ContainerStatus, Mount

if TYPE_CHECKING:
    from podspace.node.status import Facts, Problem

NANOS = 1_000_000_000
ID_PREFIX = "podspace://"
RESTARTING = "RestartingAllContainers"
RESTARTED = "The container is removed because RestartAllContainers in place"
KILLED_EXIT_CODE = 137


def build(container: Container, facts: Facts, *, waiting: str) -> JSON:
    """Return the API's ContainerStatus. ``waiting``: the reason to give while it has not been created yet."""
    current = facts.observed.containers.get(container.name)
    previous = facts.previous.get(container.name)
    problem = facts.problems.get(container.name)
    state, last = _state(current, previous, None if _is_over(container, current, facts) else problem, waiting, facts)
    running = "running" in state
    health = facts.observed.health_of(container, current) if current is not None else Health(started=False, ready=False)
    status: JSON = {
        "name": container.name,
        "state": state,
        "lastState": last,
        "ready": _ready(container, state, health),
        "restartCount": _restart_count(current, previous),
        "image": container.image,
        "imageID": "",
        "started": running and health.started,
    }
    if container.role is Role.EPHEMERAL:
        del status["started"]  # a kubelet does not ask that of them
    shown = current or previous
    if shown is not None:
        known = shown.config.annotations
        status |= {
            "image": known.get(IMAGE_NAME, container.image),
            "imageID": known.get(IMAGE_REF, shown.config.image),
            "containerID": ID_PREFIX + shown.id,
        }
        if shown.stop_signal:
            status["stopSignal"] = spec_process.signal_name(shown.stop_signal)
        if shown.user is not None:
            groups = sorted({shown.user.gid, *shown.user.supplemental_groups})
            status["user"] = {"linux": {"uid": shown.user.uid, "gid": shown.user.gid, "supplementalGroups": groups}}
        status |= _resources(container, facts)
    made = {mount.destination: mount for mount in shown.config.mounts} if shown is not None else {}
    mounts = [_volume_mount(item, made.get(item["mountPath"])) for item in container.raw.get("volumeMounts") or ()]
    return status | ({"volumeMounts": mounts} if mounts else {})


def _is_over(container: Container, current: ContainerStatus | None, facts: Facts) -> bool:
    if current is None or current.state is not ContainerState.EXITED:
        return False
    return not facts.observed.starts_anew(current) and not decide.restarts(container, current)


def _state(
    current: ContainerStatus | None, previous: ContainerStatus | None, problem: Problem | None, waiting: str, facts: Facts
) -> tuple[JSON, JSON]:
    before = terminated(previous, facts) if previous is not None else {}
    if current is not None and current.state is ContainerState.RUNNING and current.id not in facts.observed.starting:
        return {"running": {"startedAt": stamp(current.started_nanos)}}, before
    if problem is not None:
        text = {"reason": problem.reason, "message": problem.message}
        exited = current is not None and current.state is ContainerState.EXITED
        return {"waiting": text}, terminated(current, facts) if exited and current is not None else before
    if current is not None and current.state is ContainerState.EXITED:
        return terminated(current, facts), before
    if current is None and previous is not None and previous.id in facts.done_with:
        return {"waiting": {"reason": RESTARTING, "message": RESTARTED}}, before
    return {"waiting": {"reason": waiting}}, before


def terminated(status: ContainerStatus, facts: Facts) -> JSON:
    """``{"terminated": {...}}`` of an instance that ended."""
    entry: JSON = {
        "exitCode": status.exit_code,
        "reason": status.reason or ("Completed" if status.exit_code == 0 else "Error"),
        "startedAt": stamp(status.started_nanos),
        "finishedAt": stamp(status.finished_nanos),
        "containerID": ID_PREFIX + status.id,
    }
    message = messages.shorten(facts.messages.get(status.id) or status.message, facts.message_limit_bytes)
    if status.id in facts.done_with and status.exit_code == KILLED_EXIT_CODE:
        entry["reason"], message = RESTARTING, RESTARTED
    return {"terminated": entry | ({"message": message} if message else {})}


def stamp(nanos: int) -> str:
    return times.rfc3339(nanos / NANOS)


def _ready(container: Container, state: JSON, health: Health) -> bool:
    if container.role is Role.INIT:
        return bool(state.get("terminated", {}).get("exitCode", 1) == 0)
    return container.role is not Role.EPHEMERAL and "running" in state and health.ready


def _restart_count(current: ContainerStatus | None, previous: ContainerStatus | None) -> int:
    shown = current or previous
    return shown.config.attempt if shown is not None else 0


def _resources(container: Container, facts: Facts) -> JSON:
    """What is allocated, and what it runs with: after a resize that may be another for a while."""
    wanted = container.raw.get("resources") or {}
    allocated = {side: wanted[side] for side in ("limits", "requests") if wanted.get(side)}
    shown: JSON = {"resources": facts.resize.actual.get(container.name, allocated)}
    return shown | ({"allocatedResources": allocated["requests"]} if "requests" in allocated else {})


def _volume_mount(item: JSON, made: Mount | None) -> JSON:
    """``made``: as the engine has it; an image that is mounted is told by its id (KEP-5365)."""
    mount: JSON = {"name": item["name"], "mountPath": item["mountPath"]}
    if item.get("readOnly"):
        recursive = made.recursive_readonly if made is not None else item.get("recursiveReadOnly") in ("Enabled", "IfPossible")
        mount |= {"readOnly": True, "recursiveReadOnly": "Enabled" if recursive else "Disabled"}
    if made is not None and made.image:
        mount["volumeStatus"] = {"image": {"imageRef": made.image}}
    return mount
