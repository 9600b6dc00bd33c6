"""Tars for tests: entries given as data, written by the standard library (which is not what reads them)."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import getgid, getuid


@dataclass(frozen=True, kw_only=True)
class Member:
    """One entry. Owned by whoever runs the tests unless said otherwise, so that most need no root."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    uid: int = field(default_factory=getuid)
    gid: int = field(default_factory=getgid)
    mtime: float = 1_700_000_000
    target: str = ""
    pax: Mapping[str, str] = field(default_factory=dict)
    device: tuple[int, int] = (0, 0)


def file(name: str, data: bytes = b"", **more: object) -> Member:
    return Member(name=name, data=data, **more)  # type: ignore[arg-type]  # short for tests


def folder(name: str, **more: object) -> Member:
    return Member(**{"name": name, "kind": tarfile.DIRTYPE, "mode": 0o755, **more})  # type: ignore[arg-type]


def symlink(name: str, target: str) -> Member:
    return Member(name=name, kind=tarfile.SYMTYPE, target=target, mode=0o777)


def hard_link(name: str, target: str) -> Member:
    return Member(name=name, kind=tarfile.LNKTYPE, target=target)


def make(members: Iterable[Member], *, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.mode, info.uid, info.gid, info.mtime = member.kind, member.mode, member.uid, member.gid, member.mtime
            info.linkname, info.size, info.pax_headers = member.target, len(member.data), dict(member.pax)
            info.devmajor, info.devminor = member.device
            tar.addfile(info, io.BytesIO(member.data))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
