"""Manifests of the tests in this folder."""

from __future__ import annotations

from typing import Any

COUNTING = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done"
WEB = "mkdir /w; echo a page > /w/index.html; exec httpd -f -p 8080 -h /w"


def container(name: str = "c", *command: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox:1.28", "command": list(command) or ["sleep", "3600"], **fields}


def pod(name: str, *containers: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """It ends at once when deleted."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": list(containers) or [container()], **spec},
    }
