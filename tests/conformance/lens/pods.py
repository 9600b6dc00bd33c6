"""Pods to look into."""

from __future__ import annotations

from typing import Any

from tests.support.server import Server


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    base = {"terminationGracePeriodSeconds": 1, "containers": list(containers)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": base | spec}


def shell(name: str, *script: str, **more: Any) -> dict[str, Any]:
    """A container that runs a line of shell, or sleeps."""
    command = {"command": ["sh", "-c", *script]} if script else {"command": ["sleep", "3600"]}
    return {"name": name, "image": "busybox:1.28"} | command | more


def page(name: str = "nginx") -> dict[str, Any]:
    """The Pod of the Kubernetes page, without the terminal."""
    return pod(name, {"name": "nginx", "image": "nginx"}, shell("shell"), shareProcessNamespace=True)


def wait_for_page(server: Server, name: str) -> None:
    """Until ``page`` is as it stays: workers have another user than their master, and take a title after they have become it."""
    server.wait_ready(name)
    server.exec(name, "shell", "sh", "-c", "until ps ax | grep -q '[n]ginx: worker'; do :; done")
