"""Calling one CNI plugin: a program that reads its configuration from standard input and says what it did on standard output.

Called by ``chain``. Source: CNI SPEC.md (Section 2: execution protocol, Section 5: result types).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from podspace import errors
from podspace.aio import process
from podspace.kube.json import JSON

_TELL_BYTES = 300
LONGEST_SECONDS = {"ADD": 120.0, "DEL": 120.0, "CHECK": 20.0, "STATUS": 10.0}  # a kubelet waits two minutes for a sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What all plugins of one operation are told. ``netns`` "" = it is gone, which DEL must bear."""

    command: str  # ADD, DEL, CHECK, STATUS
    container_id: str = ""
    netns: str = ""
    interface: str = ""
    arguments: str = ""

    def environment(self, folders: Sequence[Path]) -> dict[str, str]:
        told = {
            "CNI_COMMAND": self.command,
            "CNI_PATH": ":".join(map(str, folders)),
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.interface,
            "CNI_ARGS": self.arguments,
        }
        return {name: value for name, value in told.items() if value or (name == "CNI_NETNS" and self.command == "DEL")}


def request(plugin: JSON, *, name: str, version: str, runtime_config: JSON, previous: JSON | None) -> JSON:
    """What the plugin gets on standard input: its configuration, completed. Pure."""
    told = {key: value for key, value in plugin.items() if key not in ("capabilities", "cniVersions")}
    told |= {"name": name, "cniVersion": version}
    if runtime_config:
        told["runtimeConfig"] = runtime_config
    if previous is not None:
        told["prevResult"] = previous
    return told


def find(kind: str, folders: Sequence[Path]) -> Path:
    """Raises: Unavailable."""
    for folder in folders:
        path = folder / kind
        if path.is_file():
            return path
    raise errors.Unavailable(f'failed to find plugin "{kind}" in path [{" ".join(map(str, folders))}]')


async def call(plugin: JSON, told: JSON, what: Call, folders: Sequence[Path]) -> JSON | None:
    """Run it; return what it said, None if nothing. Cancelled: it is killed. Raises: Unavailable, in libcni's words."""
    path = find(plugin["type"], folders)
    longest = LONGEST_SECONDS[what.command]
    try:
        async with asyncio.timeout(longest):
            done = await process.run([str(path)], stdin=json.dumps(told).encode(), environment=what.environment(folders))
    except errors.ToolError as error:
        raise _failed(plugin, what, str(error)) from error
    except TimeoutError as error:
        raise _failed(plugin, what, f"killed after {longest:.0f} s") from error
    if done.exit_status:
        raise _failed(plugin, what, _reason(done))
    return _parsed(plugin, what, done.stdout) if done.stdout.strip() else None


def _parsed(plugin: JSON, what: Call, output: bytes) -> JSON:
    try:
        result = json.loads(output)
    except ValueError as error:
        raise _failed(plugin, what, f"what it said is not JSON: {output[:_TELL_BYTES].decode(errors='replace')!r}") from error
    if not isinstance(result, dict):
        raise _failed(plugin, what, "what it said is not a result")
    return result


def _reason(done: process.Completed) -> str:
    """An error object on standard output, else whatever else it left."""
    try:
        said = json.loads(done.stdout)
        return "; ".join(str(part) for part in (said["msg"], said.get("details")) if part)
    except (ValueError, KeyError, TypeError, AttributeError):
        words = (done.stderr or done.stdout)[-_TELL_BYTES:].decode(errors="replace").strip()
        return words or f"netplugin failed with no error message: exit status {done.exit_status}"


def _failed(plugin: JSON, what: Call, reason: str) -> errors.Unavailable:
    return errors.Unavailable(f'plugin type="{plugin["type"]}" failed ({what.command.lower()}): {reason}')
