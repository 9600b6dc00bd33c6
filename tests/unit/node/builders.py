"""Pods and engine records for the tests of the node agent, with as little said as a test needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from podspace.node.decide import Observed
from podspace.node.pod import Pod, parse
from podspace.runtime import model

NANOS = 1_000_000_000


def pod(spec: dict[str, Any] | None = None, **metadata: Any) -> Pod:
    """A bound Pod with containers ``a`` and ``b`` unless ``spec`` says otherwise."""
    base: dict[str, Any] = {"containers": [{"name": "a", "image": "busybox"}, {"name": "b", "image": "busybox"}], "nodeName": "n"}
    return parse(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default", "uid": "u", "generation": 1} | metadata,
            "spec": base | (spec or {}),
            "status": {"phase": "Pending"},
        }
    )


def sandbox(state: model.SandboxState = model.SandboxState.READY, *, attempt: int = 0) -> model.SandboxStatus:
    config = model.SandboxConfig(name="p", uid="u", namespace="default", attempt=attempt, log_directory=Path("/nonexistent"))
    return model.SandboxStatus(
        id=model.SandboxId(f"s{attempt}"), config=config, state=state, created_nanos=1, pid=1, ips=("10.0.0.2",), cgroup="/x"
    )


def container(
    name: str,
    *,
    exit_code: int | None = None,
    finished: float = 100.0,
    attempt: int = 0,
    reason: str = "",
    created_only: bool = False,
) -> model.ContainerStatus:
    """Running, unless it has an exit code."""
    state = model.ContainerState.RUNNING if exit_code is None else model.ContainerState.EXITED
    return model.ContainerStatus(
        id=model.ContainerId(f"{name}{attempt}"),
        sandbox_id=model.SandboxId("s0"),
        config=model.ContainerConfig(name=name, image="sha256:x", attempt=attempt),
        state=model.ContainerState.CREATED if created_only else state,
        created_nanos=1 * NANOS,
        started_nanos=0 if created_only else 2 * NANOS,
        finished_nanos=0 if exit_code is None else int(finished * NANOS),
        exit_code=exit_code or 0,
        signal=0,
        reason=reason,
        message="",
        pid=5 if exit_code is None else 0,
        log_path=Path("/nonexistent"),
        cgroup="/x",
        rootfs=Path("/nonexistent"),
        user=None,
    )


def seen(*containers: model.ContainerStatus, sandbox_state: model.SandboxState = model.SandboxState.READY) -> Observed:
    return Observed(sandbox=sandbox(sandbox_state), containers={c.config.name: c for c in containers})
