"""What really runs below a server's root, read from /proc and from the engine's own files, to be compared with what the API says."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podspace.linux import procfs
from podspace.settings import Paths

ID_PREFIX = "podspace://"
STATUS_KEYS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A container the engine has on record, with the pids of its first process, conmon and /pause; 0 if that is gone."""

    id: str
    pod_uid: str
    name: str
    pid: int
    conmon: int
    pause: int


def instances(paths: Paths) -> list[Instance]:
    """Every container on record."""
    found = []
    for folder in (paths.run / "containers").glob("*"):
        try:
            intent = json.loads((folder / "intent.json").read_text())
            state = json.loads((folder / "state.json").read_text())
            home = paths.run / "sandboxes" / intent["sandbox_id"]
            sandbox, pause = json.loads((home / "intent.json").read_text()), json.loads((home / "state.json").read_text())
        except (OSError, ValueError):
            continue
        found.append(
            Instance(
                id=intent["id"],
                pod_uid=sandbox["config"]["uid"],
                name=intent["config"]["name"],
                pid=_alive(state.get("pid", 0), state.get("start_time", 0)),
                pause=_alive(pause.get("pid", 0), pause.get("start_time", 0)),
                conmon=_alive(state.get("conmon_pid", 0), state.get("conmon_start_time", 0)),
            )
        )
    return found


def _alive(pid: int, start_time: int) -> int:
    return pid if pid and procfs.Identity(pid=pid, start_time=start_time).alive else 0


def conmons(paths: Paths) -> dict[str, list[int]]:
    """Living conmons by container id."""
    mark, found = f"--exit-dir={paths.run / 'exits'}", dict[str, list[int]]()
    for pid in procfs.pids():
        words = procfs.cmdline(pid)
        if mark in words:
            for word in words:
                if word.startswith("--cid="):
                    found.setdefault(word.removeprefix("--cid="), []).append(pid)
    return found


def victims(paths: Paths) -> list[tuple[str, int]]:
    """Processes that may be killed at random: (what, pid)."""
    found: list[tuple[str, int]] = []
    for instance in instances(paths):
        if instance.pid:
            found.append((f"main process of {instance.name}", instance.pid))
            children = [p for p in procfs.pids() if (s := procfs.stat(p)) is not None and s.parent == instance.pid]
            found += [(f"child in {instance.name}", pid) for pid in children[:1]]
        if instance.conmon:
            found.append((f"conmon of {instance.name}", instance.conmon))
    for folder in (paths.run / "sandboxes").glob("*"):
        try:
            state = json.loads((folder / "state.json").read_text())
        except (OSError, ValueError):
            continue
        if pid := _alive(state.get("pid", 0), state.get("start_time", 0)):
            found.append(("pause", pid))
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def statuses(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every container status of a Pod object."""
    for key in STATUS_KEYS:
        yield from pod.get("status", {}).get(key) or ()


def violations(paths: Paths, pods: list[dict[str, Any]]) -> list[str]:
    """What the API says and is not so, or is so and the API does not say."""
    real = {instance.id: instance for instance in instances(paths)}
    living = conmons(paths)
    wrong = [f"{len(pids)} conmons for container {cid}" for cid, pids in living.items() if len(pids) > 1]
    running: set[str] = set()
    for pod in pods:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            wrong.append(f"{name} is still being deleted")
        wrong += [f"{name}: {problem}" for problem in _pod_violations(pod, real, living, running)]
    uids = {pod["metadata"]["uid"] for pod in pods}
    wrong += [f"record of a container of no Pod: {i.name} {i.id}" for i in real.values() if i.pod_uid not in uids]
    wrong += [f"conmon of a container that is not shown as running: {cid}" for cid in living if cid not in running]
    twice = Counter((i.pod_uid, i.name) for i in real.values() if i.pid)
    return wrong + [f"container {name} of Pod {uid} runs {count} times" for (uid, name), count in twice.items() if count > 1]


def _pod_violations(pod: dict[str, Any], real: dict[str, Instance], living: dict[str, list[int]], running: set[str]) -> Iterator[str]:
    phase = pod["status"].get("phase")
    if phase not in ("Pending", "Running", "Succeeded", "Failed"):
        yield f"phase {phase}"
    mains = {status["name"] for status in pod["status"].get("containerStatuses") or ()}
    if mains != {container["name"] for container in pod["spec"]["containers"]}:
        yield f"statuses of {sorted(mains)} only"
    for status in statuses(pod):
        state = status["state"]
        if len(state) != 1:
            yield f"{status['name']} is in states {sorted(state)}"
        if "running" in state:
            identifier = status["containerID"].removeprefix(ID_PREFIX)
            running.add(identifier)
            if identifier not in real or not real[identifier].pid or identifier not in living:
                yield f"{status['name']} is shown as running as {identifier[:12]}, which is dead"
            elif not real[identifier].pause:
                yield f"{status['name']} runs in a sandbox whose /pause is dead"
        elif "waiting" in state and phase == "Running" and not _excused(state["waiting"]["reason"], pod, status):
            yield f"{status['name']} waits ({state['waiting']['reason']}) with nothing to wait for"
        elif "terminated" in state and phase == "Running" and _comes_back(pod, status):
            yield f"{status['name']} has ended and is not started again"


def _excused(reason: str, pod: dict[str, Any], status: dict[str, Any]) -> bool:
    return reason in ("CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff")


def _comes_back(pod: dict[str, Any], status: dict[str, Any]) -> bool:
    inits = {c["name"]: c for c in pod["spec"].get("initContainers") or ()}
    if status["name"] in inits:
        return bool(inits[status["name"]].get("restartPolicy") == "Always")
    policy = pod["spec"]["restartPolicy"]
    return bool(policy == "Always" or (policy == "OnFailure" and status["state"]["terminated"]["exitCode"] != 0))


def leftovers(paths: Paths, server_pid: int) -> list[str]:
    """What is left on disk and in the server's own mount namespace; there should be nothing once every Pod is gone."""
    wrong = []
    for folder in (
        *(paths.run / name for name in ("sandboxes", "containers", "exits", "crun", "tmp", "network/addresses")),
        paths.snapshots,
        paths.pods,
        paths.volumes,
        paths.log,
        paths.images / "tmp",
    ):
        if folder.is_dir():
            wrong += [f"left in {folder}: {name}" for name in sorted(os.listdir(folder))]
    table = Path(f"/proc/{server_pid}/mountinfo").read_text().splitlines()
    root = str(paths.lib.parent)
    return wrong + [f"mounted in the server's view: {line}" for line in table if f" {root}/" in line]


def open_files(pid: int) -> Counter[str]:
    """What the server has open, numbers cut off."""
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[os.readlink(f"/proc/{pid}/fd/{name}").split(":[")[0]] += 1
        except OSError:
            continue
    return found
