"""What a debugging container needs to see into its target: decided before it is made, and said when it will not do.

Called by ``debug`` for ``--target``. Asks the lens as whom the target runs, and its audit whether a container such as planned could read
the target's files; the rules are the kernel's (``lens.audit_rules``), not guesses.
"""

from __future__ import annotations

import copy
import sys

from podspace.cli import failure, look
from podspace.kube.json import JSON

VARIABLE = "TARGET_ROOT"


def fitted(inside: look.Look, pod: JSON, container: JSON, target: str, *, as_target: bool, may_add: bool) -> JSON:
    """The container with ``$TARGET_ROOT``; with ``as_target`` under the target's ids and capabilities; with ``may_add`` and SYS_PTRACE if
    it would not see in without.

    Says in one line what was added and why, or why a look will be denied.  Raises: failure.Failure when as_target is asked for and the
    target does not run.
    """
    try:
        if inside.leaves_traces and not as_target:
            return _alone(pod, container)
        main = _main(inside, pod, target)
    except failure.Failure as error:
        if as_target:
            raise
        print(f"Warning: whether {target}'s files can be read is not known: {error}", file=sys.stderr)
        return _alone(pod, container)
    made = copy.deepcopy(container)
    made["env"] = [*(made.get("env") or ()), {"name": VARIABLE, "value": f"/proc/{main['pid']}/root"}]
    if as_target:
        _become(made, main)
    refused = _refused(inside, pod, made, target)
    if refused and may_add:
        traced = _with_capability(made, "SYS_PTRACE")
        still = _refused(inside, pod, traced, target)
        if not still:
            print(f"Adding SYS_PTRACE, without which {target}'s files were denied: {refused}", file=sys.stderr)
            return traced
        refused = still
    if refused:
        print(f"Warning: {target}'s files and environment will be denied: {refused}", file=sys.stderr)
    return made


def _alone(pod: JSON, container: JSON) -> JSON:
    """Without a look: where processes are not shared, the target is PID 1."""
    if pod["spec"].get("shareProcessNamespace") or pod["spec"].get("hostPID"):
        return container
    return {**container, "env": [*(container.get("env") or ()), {"name": VARIABLE, "value": "/proc/1/root"}]}


def _main(inside: look.Look, pod: JSON, target: str) -> JSON:
    seen = inside.processes(pod["metadata"]["name"])
    for entry in seen["processes"]:
        if entry["container"] == target and entry["main"]:
            found: JSON = entry
            credentials = next((each.get("credentials") for each in seen["containers"] if each["name"] == target), None)
            return {**found, "credentials": credentials or {}}
    raise failure.Failure(f"container {target} of pod {pod['metadata']['name']} is not running: there is nothing to see into")


def _become(container: JSON, main: JSON) -> None:
    """Its ids; its groups are the Pod's already. A root target's capabilities, for the kernel asks for no fewer than it has."""
    security = container.setdefault("securityContext", {})
    security["runAsUser"], security["runAsGroup"] = main["uid"], main["gid"]
    security["runAsNonRoot"] = main["uid"] != 0
    held = main["credentials"].get("capabilities") or []
    if held:
        security["capabilities"] = {"drop": ["ALL"], "add": held}


def _with_capability(container: JSON, name: str) -> JSON:
    made = copy.deepcopy(container)
    capabilities = made.setdefault("securityContext", {}).setdefault("capabilities", {})
    capabilities["add"] = [*(capabilities.get("add") or ()), name]
    return made


def _refused(inside: look.Look, pod: JSON, container: JSON, target: str) -> str:
    """Why it could not read the target's files, "" if it could."""
    planned = copy.deepcopy(pod)
    planned["spec"].setdefault("ephemeralContainers", []).append(container)
    planned["metadata"] = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    planned.pop("status", None)
    rows = inside.review({"apiVersion": "v1", "kind": "Pod", **planned})["status"]["matrix"]
    row = next((each for each in rows if (each["actor"], each["target"]) == (container["name"], target)), None)
    return str(row["reasons"].get("files", "")) if row else ""
