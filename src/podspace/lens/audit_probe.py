"""Runs the probe that tries what the audit computed. Called by ``service`` in a thread; ``probe_main`` is what runs.

Processes are handed over as pidfds, never as numbers. The interpreter is a sealed copy in memory: a container that may trace the probe
could else reach the machine's own file through /proc/<pid>/exe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.kube.json import JSON
from podspace.lens import audit_filter, model
from podspace.linux import sealed
from podspace.oci import seccomp_bpf

SECONDS = 10

Tried = dict[tuple[str, str], dict[str, bool]]


def run(census: model.Census, filters: audit_filter.Filters) -> Tried:
    """(actor, target) to what worked. Missing: pairs whose processes ended meanwhile, and actors whose seccomp filter lets no probe run.

    Raises: Internal with the probe's words.
    """
    mains = [process for process in census.processes if process.main]
    with contextlib.ExitStack() as stack:
        pidfds: dict[str, int] = {}
        for process in mains:
            with contextlib.suppress(OSError):
                fd = os.pidfd_open(process.pid)
                stack.callback(os.close, fd)
                pidfds[process.container] = fd
        actors = [
            _actor(process, pidfds, bpf, census.host.get("user"))
            for process in mains
            if process.container in pidfds
            and process.container != model.PAUSE
            and (bpf := _filter(filters.get(process.container, {}))) is not None
        ]
        if not actors:
            return {}
        lines = _probe({"actors": actors}, list(pidfds.values()))
    return {(line["actor"], line["target"]): line["tried"] for line in lines}


def _actor(process: model.Process, pidfds: dict[str, int], bpf: str, host: int | None) -> JSON:
    targets = [{"name": name, "pidfd": fd} for name, fd in pidfds.items() if name != process.container]
    held = dataclasses.asdict(process.credentials)
    return {
        "name": process.container,
        "pidfd": pidfds[process.container],
        "credentials": held,
        "targets": targets,
        "filter": bpf,
        "mapped": process.namespaces.get("user") != host,  # it has a user namespace of its own
    }


def _filter(profile: Mapping[str, Any]) -> str | None:
    """BPF in base64, "" for no profile; None for one that cannot be compiled here (or wants a tracer), and so cannot be tried."""
    try:
        return seccomp_bpf.encoded(json.dumps(profile, sort_keys=True)) if profile else ""
    except (OSError, KeyError):
        return None


def _probe(request: JSON, descriptors: list[int]) -> list[JSON]:
    program = Path(__file__).with_name("probe_main.py")
    interpreter = _interpreter()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(program)],
            executable=f"/proc/self/fd/{interpreter}",
            input=json.dumps(request).encode(),
            capture_output=True,
            pass_fds=(*descriptors, interpreter),
            timeout=SECONDS,
            check=False,
            cwd="/",
            env={},
        )
    except subprocess.TimeoutExpired:
        raise errors.TimedOut("the probe took too long") from None
    if done.returncode != 0 or (done.stderr and not done.stdout):
        raise errors.Internal(f"the probe failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


@functools.cache
def _interpreter() -> int:
    """A descriptor of the sealed copy, made once."""
    return sealed.copy(os.path.realpath(sys.executable))
