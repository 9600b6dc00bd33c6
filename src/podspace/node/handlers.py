"""What a probe or a lifecycle hook does: the JSON of a handler turned into one typed, frozen value. Pure.

Made by ``pod`` from a validated object. How each is carried out is ``attempts``'; here is only what was asked for.
Source: kubernetes pkg/probe/util.go (ports by name).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from podspace import errors
from podspace.kube.json import JSON

Port: TypeAlias = int | str
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpGet:
    """``host`` "" = the Pod's address."""

    host: str
    port: Port
    path: str
    scheme: str  # HTTP or HTTPS
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSocket:
    host: str
    port: Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Grpc:
    port: int
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    seconds: float


Handler: TypeAlias = Exec | HttpGet | TcpSocket | Grpc | Sleep


def parse(raw: JSON) -> Handler:
    """Return the one handler of a probe or hook. Raises: Unsupported when there is none that is known."""
    if action := raw.get("exec"):
        return Exec(command=tuple(action.get("command") or ()))
    if action := raw.get("httpGet"):
        return HttpGet(
            host=action.get("host") or "",
            port=action["port"],
            path=action.get("path") or "/",
            scheme=action.get("scheme") or "HTTP",
            headers=tuple((item["name"], item.get("value") or "") for item in action.get("httpHeaders") or ()),
        )
    if action := raw.get("tcpSocket"):
        return TcpSocket(host=action.get("host") or "", port=action["port"])
    if action := raw.get("grpc"):
        return Grpc(port=int(action["port"]), service=action.get("service") or "")
    if "sleep" in raw:
        return Sleep(seconds=float((raw["sleep"] or {}).get("seconds") or 0))
    raise errors.Unsupported(f"no handler that podspace knows is among {', '.join(sorted(raw)) or 'nothing'}")


def port_number(port: Port, container: JSON) -> int:
    """Return the number of a port that may be given by its name in the container's ``ports``. Raises: Invalid port as a kubelet says it."""
    number = port if isinstance(port, int) else _by_name(port, container)
    if not 0 < number <= _HIGHEST_PORT:
        raise errors.BadRequest(f"invalid port number: {number}")
    return number


def _by_name(name: str, container: JSON) -> int:
    for port in container.get("ports") or ():
        if port.get("name") == name:
            return int(port["containerPort"])
    if name.isdecimal():
        return int(name)
    raise errors.BadRequest(f'strconv.Atoi: parsing "{name}": invalid syntax')  # in a kubelet's words
