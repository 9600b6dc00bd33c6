"""What ``inside_scripts.LIST`` printed, as ``PodFiles`` has it. Pure."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.lens import safetext
from podspace.oci import users


def listing(printed: bytes, pid: int, path: str, limit: int) -> JSON:
    """``path``, ``entries``, ``truncated``: names below the path that was asked for, wherever its symlinks led."""
    lines = printed.split(b"\n")
    led_to = next((line.partition(b"\t")[2] for line in lines if line.startswith(b"at\t")), b"")
    root = b"/proc/%d/root" % pid + led_to
    names = {account.uid: account.name for account in reversed(list(users.accounts(_file(lines, b"passwd:"))))}
    groups = {number: name for name, number, _ in reversed(list(users.groups(_file(lines, b"group:"))))}
    found = list(_entries(lines, root, os.fsencode(path.rstrip("/")), names, groups))
    found.sort(key=lambda entry: str(entry["path"]).split("/"))
    return {"path": path, "entries": found[:limit], "truncated": len(found) > limit}


def _file(lines: list[bytes], prefix: bytes) -> str:
    return b"\n".join(line.removeprefix(prefix) for line in lines if line.startswith(prefix)).decode(errors="replace")


def _entries(lines: list[bytes], root: bytes, path: bytes, names: dict[int, str], groups: dict[int, str]) -> Iterator[JSON]:
    for line in lines:
        if not line.startswith(b"="):
            continue
        numbers, _, rest = line[1:].partition(b"\t")
        raw, *words = numbers.split()
        mode = int(raw, 16)
        uid, gid, size, modified = (int(word) for word in words)
        name, _, target = rest.replace(b"\1", b"\n").replace(b"\2", b"\t").partition(b"\3")
        entry: JSON = {
            "path": safetext.decoded(path + b"/" + name.removeprefix(root).lstrip(b"/")) if name != root else safetext.decoded(path),
            "mode": stat.filemode(mode),
            "user": names.get(uid, str(uid)),
            "group": groups.get(gid, str(gid)),
            "uid": uid,
            "gid": gid,
            "size": size,
            "modified": times.rfc3339(max(modified, 0)),
        }
        yield entry | ({"target": safetext.decoded(target)} if stat.S_ISLNK(mode) else {})
