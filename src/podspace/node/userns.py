"""Which ids of the machine a Pod with ``hostUsers: false`` has for its own: one block each, kept beside its volumes.

A block is 65536 ids from a multiple of 65536, as a kubelet gives them, the same for users and groups. It is in ``pods/<uid>/userns`` before
it is used, so a server that was killed finds it there, and is given back with the Pod's folder. Blocks that /etc/subuid or /etc/subgid
promise to somebody (rootless Podman, LXD) are left to them. Called by ``starting``.
Source: KEP-127; kubelet pkg/kubelet/userns; subuid(5).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from podspace.linux.idmap import IdMap, Range
from podspace.node.pod import PodUid

LENGTH = 65536
_FIRST, _LAST = 1, 65534  # block 0 is the host's own; the last id of block 65535 is "no id"
_FILE = "userns"
_SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))


class Exhausted(Exception):
    """Every block is somebody's."""


def of_pod(pods: Path, uid: PodUid, *, subordinate: Sequence[Path] = _SUBORDINATE) -> IdMap:
    """The Pod's block, chosen the first time. Call from one thread only. Raises: Exhausted, OSError."""
    home = pods / uid
    block = _read(home)
    if block is None:
        block = choose(set(filter(None, map(_read, pods.glob("*")))), list(_promised(subordinate)))
        _write(home, block)
    return id_map(block)


def id_map(block: int) -> IdMap:
    ranges = (Range(inside=0, outside=block * LENGTH, length=LENGTH),)
    return IdMap(uids=ranges, gids=ranges)


def choose(taken: Collection[int], promised: Sequence[tuple[int, int]]) -> int:
    """The lowest block that is free. ``promised``: (first id, how many) of others. Raises: Exhausted."""
    for block in range(_FIRST, _LAST + 1):
        first = block * LENGTH
        if block not in taken and not any(start < first + LENGTH and first < start + count for start, count in promised):
            return block
    raise Exhausted("no 65536 ids are free for a user namespace; look at /etc/subuid and /etc/subgid")


def _promised(files: Sequence[Path]) -> Iterator[tuple[int, int]]:
    for file in files:
        with contextlib.suppress(OSError):
            for line in file.read_text(errors="replace").splitlines():
                _, first, count = [*line.split(":"), "", ""][:3]
                if first.isdigit() and count.isdigit():
                    yield int(first), int(count)


def _read(home: Path) -> int | None:
    """The block in the Pod's folder, None if there is none."""
    try:
        known = json.loads((home / _FILE).read_text())
        return int(known["uidMappings"][0]["hostId"]) // LENGTH
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(home: Path, block: int) -> None:
    """Whole or not at all. In a kubelet's form."""
    home.mkdir(parents=True, exist_ok=True)
    mappings = [{"hostId": block * LENGTH, "containerId": 0, "length": LENGTH}]
    temporary = home / f".{_FILE}"
    temporary.write_text(json.dumps({"uidMappings": mappings, "gidMappings": mappings}))
    os.replace(temporary, home / _FILE)
