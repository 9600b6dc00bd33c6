"""Containers that the engine has forgotten and the API has not: a reboot empties /run, the store stays.

Their last instance is read back from the Pod's own status, so that restart counts go on, a container that may run once is not run
again, and ``kubectl logs`` finds the file that is still there. Pure; called by ``pod_state``.
Source: kubelet pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses (ContainerStatusUnknown).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.node.configs import IMAGE_REF
from podspace.node.container_status import ID_PREFIX, NANOS
from podspace.node.pod import Container, Pod
from podspace.runtime.model import ContainerConfig, ContainerId, ContainerState, ContainerStatus, SandboxId

LOST_EXIT_CODE = 137
LOST_MESSAGE = "The container could not be located when the pod was looked for: the machine may have been restarted"
_KEYS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def instances(pod: Pod, log_directory: Path) -> list[ContainerStatus]:
    """What the Pod's status tells of each container: its newest instance and the one before, as something that has ended."""
    status = pod.raw.get("status") or {}
    entries = [entry for key in _KEYS for entry in status.get(key) or () if entry.get("containerID")]
    return [
        _instance(container, entry, ended, attempt, log_directory)
        for entry in entries
        if (container := pod.find(entry["name"]))
        for ended, attempt in _ends(entry)
    ]


def _instance(container: Container, entry: JSON, ended: JSON, attempt: int, log_directory: Path) -> ContainerStatus:
    image = entry.get("imageID", "")
    return ContainerStatus(
        id=ContainerId((ended.get("containerID") or entry["containerID"]).removeprefix(ID_PREFIX)),
        sandbox_id=SandboxId(""),
        config=ContainerConfig(name=container.name, attempt=attempt, image=image, annotations={IMAGE_REF: image}),
        state=ContainerState.EXITED,
        created_nanos=_nanos(ended.get("startedAt")),
        started_nanos=_nanos(ended.get("startedAt")),
        finished_nanos=_nanos(ended.get("finishedAt")),
        exit_code=int(ended["exitCode"]),
        signal=0,
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        pid=0,
        log_path=log_directory / container.name / f"{attempt}.log",
        cgroup="",
        rootfs=Path("/nonexistent"),
        user=None,
    )


def _ends(entry: JSON) -> Iterator[tuple[JSON, int]]:
    """How the container's last instances ended, newest first, each with its number; what was running then is lost."""
    state, count = entry["state"], int(entry.get("restartCount", 0))
    before = (entry.get("lastState") or {}).get("terminated")
    if running := state.get("running"):
        began = running.get("startedAt")
        lost = {"exitCode": LOST_EXIT_CODE, "reason": "ContainerStatusUnknown", "message": LOST_MESSAGE}
        yield lost | {"startedAt": began, "finishedAt": began}, count
    elif terminated := state.get("terminated"):
        yield terminated, count
    elif before:
        yield before, count
        return
    if before:
        yield before, max(count - 1, 0)


def _nanos(stamp: str | None) -> int:
    return int(times.parse(stamp) * NANOS) if stamp else 0
