"""Who is calling: a client certificate, or the owner of a unix socket's other end; tokens are read by ``accounts``.

Called by ``dispatch`` once per request and remembered per connection. What a caller may do is ``authorization``'s.
Source: Kubernetes X.509 client certificates (CN = user, O = groups); unix(7) SO_PEERCRED.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ADMIN_GROUP = "system:masters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user as reviews and refusals name it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    namespace: str = ""  # of a ServiceAccount
    rights: str = ""  # of a ServiceAccount: "", "view" or "admin"

    @property
    def is_admin(self) -> bool:
        return ADMIN_GROUP in self.groups or self.rights == "admin"


LOCAL_ADMIN = Identity(name="root", groups=(ADMIN_GROUP, "system:authenticated"))
_known: weakref.WeakKeyDictionary[asyncio.BaseTransport, Identity] = weakref.WeakKeyDictionary()


def of(transport: asyncio.BaseTransport | None) -> Identity | None:
    """Who is at the other end of a connection, None if the connection does not tell."""
    if transport is None:
        return None
    identity = _known.get(transport)
    if identity is None:
        identity = _local(transport) or _certified(transport)
        if identity is not None:
            _known[transport] = identity
    return identity


def _local(transport: asyncio.BaseTransport) -> Identity | None:
    """Root, or whoever runs this server, over the unix socket."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return LOCAL_ADMIN if uid in (0, os.geteuid()) else None


def _certified(transport: asyncio.BaseTransport) -> Identity | None:
    """The subject of the certificate, which the TLS layer has verified against the client CA."""
    certificate = transport.get_extra_info("peercert")
    if not certificate:
        return None
    names = _attributes(certificate.get("subject", ()))
    if not names.get("commonName"):
        return None
    return Identity(name=names["commonName"][0], groups=(*names.get("organizationName", ()), "system:authenticated"))


def _attributes(subject: Iterable[Iterable[tuple[str, Any]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for relative_name in subject:
        for key, value in relative_name:
            found.setdefault(key, []).append(str(value))
    return found
