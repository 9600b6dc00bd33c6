"""Who is calling: a client certificate, the owner of a unix socket's other end, or a token.

Called by ``dispatch`` once per request and remembered per connection. There is one right here, that of ``system:masters``; anybody
else is known but refused. It must not know resources beyond the words of a refusal.
Source: Kubernetes X.509 client certificates (CN = user, O = groups); unix(7) SO_PEERCRED.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from podspace import errors
from podspace.api.routes import Target

ADMIN_GROUP = "system:masters"
OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")  # RBAC's public-info-viewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user as reviews and refusals name it."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        return ADMIN_GROUP in self.groups


LOCAL_ADMIN = Identity(name="root", groups=(ADMIN_GROUP, "system:authenticated"))
_known: weakref.WeakKeyDictionary[asyncio.BaseTransport, Identity] = weakref.WeakKeyDictionary()


def of(transport: asyncio.BaseTransport | None) -> Identity:
    """Return who is at the other end of a connection.  Raises: Unauthorized when nobody we know."""
    if transport is None:
        raise errors.Unauthorized("Unauthorized")
    identity = _known.get(transport)
    if identity is None:
        identity = _local(transport) or _certified(transport)
        if identity is None:
            raise errors.Unauthorized("Unauthorized")
        _known[transport] = identity
    return identity


def require_admin(identity: Identity, target: Target) -> None:
    """Raise Forbidden, worded as RBAC words it, unless the caller may do everything."""
    if identity.is_admin:
        return
    resource = target.resource
    full = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
    subject = f'{resource.qualified} "{target.name}"' if target.name else resource.qualified
    raise errors.Forbidden(
        f'{subject} is forbidden: User "{identity.name}" cannot {target.verb} resource "{full}" '
        f'in API group "{resource.group}" {target.scope}',
        resource=resource.plural,
        name=target.name,
    )


def require_admin_for_path(identity: Identity, method: str, path: str) -> None:
    """As ``require_admin``, for what is not a resource."""
    if not identity.is_admin:
        raise errors.Forbidden(f'forbidden: User "{identity.name}" cannot {method.lower()} path "{path}"')


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
