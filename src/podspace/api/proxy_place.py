"""Where a proxied request goes: ``pods/[scheme:]name[:port]/proxy/path`` and the same of services and nodes, resolved to an address.

Called by ``proxy``. Pure. Source: the ResourceLocation functions of the API server's Pod, Service and Node registries; what a Service's
EndpointSlices would hold is found by its selector.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podspace import errors
from podspace.kube.json import JSON

_ADDRESSED = re.compile(r"(/api/v1/(?:namespaces/[^/]+/)?(?:pods|services|nodes)/[^/]+/proxy)(/.*)?")
_DEFAULT_PORTS = {"": 80, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """``scheme:name:port``, taken apart."""

    scheme: str
    name: str
    port: str


def split(identifier: str, kind: str) -> Name:
    """``web``, ``web:8080``, ``https:web:``.  Raises: BadRequest."""
    parts = identifier.split(":")
    if len(parts) == 1:
        return Name(scheme="http", name=parts[0], port="")
    if len(parts) == 2:
        parts = ["", *parts]
    if len(parts) != 3 or parts[0] not in _DEFAULT_PORTS or not parts[1]:
        raise errors.BadRequest(f'invalid {kind} request "{identifier}"')
    return Name(scheme=parts[0] or "http", name=parts[1], port=parts[2])


def paths(raw_path: str) -> tuple[str, str]:
    """The proxy's own path, and the one that is meant beyond it: "" if even the slash is missing."""
    found = _ADDRESSED.fullmatch(raw_path.partition("?")[0])
    if found is None:
        raise errors.NotFound("the server could not find the requested resource")
    return found[1], found[2] or ""


def of_pod(pod: JSON, wanted: Name) -> tuple[str, int]:
    """Address and port: the one asked for, else the first that a container declares.  Raises: BadRequest, Unavailable."""
    declared = (port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    port = wanted.port or str(next(declared, _DEFAULT_PORTS[wanted.scheme]))
    return proxyable((pod.get("status") or {}).get("podIP") or ""), number(port)


def number(port: str) -> int:
    """Raises: Unavailable, in the words of Go's dialler."""
    if not port.isascii() or not port.isdigit():
        raise errors.Unavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
    if not 0 < int(port) < 65536:
        raise errors.Unavailable(f"error trying to reach service: dial tcp: address {port}: invalid port")
    return int(port)


def proxyable(address: str) -> str:
    """The address, unless it is none or nobody else's.  Raises: BadRequest."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise errors.BadRequest("address not allowed") from None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        raise errors.BadRequest("address not allowed")
    return address


def service_port(service: JSON, wanted: Name) -> JSON:
    """The port of a Service that is asked for by number or by name.  Raises: Unavailable."""
    ports: Sequence[JSON] = service["spec"].get("ports") or ()
    if wanted.port.isascii() and wanted.port.isdigit():
        found = [port for port in ports if port["port"] == int(wanted.port)]
        if not found:
            raise errors.Unavailable(f'no service port {wanted.port} found for service "{wanted.name}"')
        return found[0]
    found = [port for port in ports if port.get("name", "") == wanted.port]
    if not found:
        raise errors.Unavailable(f'no endpoints available for service "{wanted.name}"')
    return found[0]


def endpoints(service: JSON, port: JSON, pods: Iterable[JSON]) -> list[tuple[str, int]]:
    """Address and port of each ready Pod that a Service selects."""
    selector = service["spec"].get("selector") or {}
    found = []
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        if not selector or any(labels.get(key) != value for key, value in selector.items()) or not _serves(service, pod):
            continue
        target = _target(port, pod)
        if target:
            found.append((pod["status"]["podIP"], target))
    return found


def _serves(service: JSON, pod: JSON) -> bool:
    status = pod.get("status") or {}
    if not status.get("podIP") or status.get("phase") in ("Succeeded", "Failed"):
        return False
    if service["spec"].get("publishNotReadyAddresses"):
        return True
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
    return ready and "deletionTimestamp" not in pod["metadata"]


def _target(port: JSON, pod: JSON) -> int:
    """``targetPort`` of a Pod: a number, or the name of one of its containers' ports; 0 if it has none of that name."""
    wanted = port.get("targetPort") or port["port"]
    if isinstance(wanted, int):
        return wanted
    declared = (one for container in pod["spec"]["containers"] for one in container.get("ports") or ())
    return next((one["containerPort"] for one in declared if one.get("name") == wanted), 0)
