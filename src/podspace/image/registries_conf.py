"""Where an image really comes from: containers-registries.conf(5), version 2.

A name is matched to the longest ``prefix``; its ``mirror`` entries are tried in order, then ``location``. ``unqualified-search-registries``
and short-name aliases are read by other tools and not by us: a name without a registry is Docker Hub's, as a kubelet has it.
Called by ``image.service``. Knows files and names, does no network.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.image.reference import Reference

SYSTEM_FILE = Path("/etc/containers/registries.conf")
VENDOR_FILE = Path("/usr/share/containers/registries.conf")
_HEADER = re.compile(r"\s*\[\[\s*\"?registry\"?\s*\]\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place to pull from. ``pull_from``: all, digest-only or tag-only (mirrors)."""

    location: str  # host[:port][/path], replaces the prefix
    insecure: bool = False  # plain HTTP or a certificate nobody vouches for
    pull_from: str = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One ``[[registry]]`` table."""

    prefix: str  # host[:port][/path[:tag]], or *.domain
    location: Location
    blocked: bool = False
    mirrors: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A repository at a registry: what to talk to for one image."""

    host: str
    repository: str
    insecure: bool = False

    @property
    def name(self) -> str:
        """What credentials are looked up by."""
        return f"{self.host}/{self.repository}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistriesConf:
    """All files merged; a later file's table for the same prefix replaces an earlier one's."""

    registries: tuple[Registry, ...] = ()

    def endpoints(self, reference: Reference) -> list[Endpoint]:
        """Return where to pull from, in the order to try. Raises: Forbidden when the registry is blocked."""
        registry = self._match(reference)
        if registry is None:
            return [Endpoint(host=reference.domain, repository=reference.path, insecure=is_loopback(reference.domain))]
        if registry.blocked:
            raise errors.Forbidden(f'registry "{registry.prefix}" is blocked in registries.conf')
        return [
            self._rewritten(reference, registry.prefix, location)
            for location in (*registry.mirrors, registry.location)
            if location.pull_from == "all" or (location.pull_from == "digest-only") == bool(reference.digest)
        ]

    def _match(self, reference: Reference) -> Registry | None:
        fitting = [registry for registry in self.registries if _covers(registry.prefix, reference)]
        return max(fitting, key=lambda registry: len(registry.prefix), default=None)

    def _rewritten(self, reference: Reference, prefix: str, place: Location) -> Endpoint:
        rest = reference.name[len(prefix) :] if reference.name.startswith(prefix) else "/" + reference.path
        host, _, path = ((place.location or reference.domain) + rest).partition("/")
        return Endpoint(host=host, repository=path, insecure=place.insecure or is_loopback(host))


def is_loopback(host: str) -> bool:
    """Registries on this very machine may speak plain HTTP, as Docker has it."""
    bare = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare.strip("[]")).is_loopback
    except ValueError:
        return False


def load(explicit: Path | None = None, environment: Mapping[str, str] | None = None) -> RegistriesConf:
    """Read this machine's configuration, or only ``explicit`` (it must exist) and ``<explicit>.d``. Raises: BadRequest, NotFound."""
    if explicit is not None and not explicit.is_file():
        raise errors.NotFound(f"registries configuration {explicit} does not exist")
    tables: dict[str, Registry] = {}
    for file in _files(explicit, os.environ if environment is None else environment):
        for registry in _parse_file(file):
            tables[registry.prefix] = registry
    return RegistriesConf(registries=tuple(tables.values()))


def parse(text: str, *, origin: str = "registries.conf") -> list[Registry]:
    """Read one file's text. Raises: BadRequest naming ``origin``."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.BadRequest(f"{origin}: not TOML: {error}") from error
    if "registries" in document:
        raise errors.BadRequest(f"{origin}: version 1 of the format ([registries.search]) is not read; use [[registry]] tables")
    tables = document.get("registry", [])
    if not isinstance(tables, list):
        raise errors.BadRequest(f"{origin}: registry must be an array of tables: [[registry]]")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
    return [_registry(table, _place(origin, lines, index, len(tables))) for index, table in enumerate(tables)]


def _place(origin: str, lines: Sequence[int], index: int, count: int) -> str:
    """``file:line`` of a table's header, where it has one of its own (inline arrays of tables do not)."""
    return f"{origin}:{lines[index]}" if len(lines) == count else origin


def _files(explicit: Path | None, environment: Mapping[str, str]) -> Iterable[Path]:
    if explicit is not None:
        return [explicit, *sorted(explicit.with_name(explicit.name + ".d").glob("*.conf"))]
    if named := environment.get("CONTAINERS_REGISTRIES_CONF"):
        return [Path(named)]
    main = SYSTEM_FILE if SYSTEM_FILE.exists() else VENDOR_FILE
    drop_ins = sorted(SYSTEM_FILE.with_name(SYSTEM_FILE.name + ".d").glob("*.conf"))
    return [file for file in (main, *drop_ins) if file.exists()]


def _parse_file(file: Path) -> list[Registry]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.BadRequest(f"registries configuration {file}: {error}") from error
    return parse(text, origin=str(file))


def _registry(table: object, origin: str) -> Registry:
    fields = _table(table, origin)
    prefix, location = _text(fields, "prefix", origin), _text(fields, "location", origin)
    if not (prefix or location):
        raise errors.BadRequest(f"{origin}: a [[registry]] has neither prefix nor location")
    if not location and not prefix.startswith("*."):
        location = prefix
    mirrors = tuple(_mirror(each, fields, origin) for each in fields.get("mirror", ()))
    return Registry(
        prefix=prefix or location,
        location=Location(location=location, insecure=_flag(fields, "insecure", origin)),
        blocked=_flag(fields, "blocked", origin),
        mirrors=mirrors,
    )


def _mirror(table: object, registry: Mapping[str, Any], origin: str) -> Location:
    fields = _table(table, origin)
    location = _text(fields, "location", origin)
    if not location:
        raise errors.BadRequest(f"{origin}: a [[registry.mirror]] has no location")
    default = "digest-only" if _flag(registry, "mirror-by-digest-only", origin) else "all"
    pull_from = _text(fields, "pull-from-mirror", origin) or default
    if pull_from not in ("all", "digest-only", "tag-only"):
        raise errors.BadRequest(f'{origin}: pull-from-mirror must be "all", "digest-only" or "tag-only", not "{pull_from}"')
    return Location(location=location, insecure=_flag(fields, "insecure", origin), pull_from=pull_from)


def _table(value: object, origin: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise errors.BadRequest(f"{origin}: registry and mirror must be tables")
    return value


def _text(fields: Mapping[str, Any], key: str, origin: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str) or "://" in value:
        raise errors.BadRequest(f"{origin}: {key} must be a host or host/path without a scheme, not {value!r}")
    return value.rstrip("/")


def _flag(fields: Mapping[str, Any], key: str, origin: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise errors.BadRequest(f"{origin}: {key} must be true or false, not {value!r}")
    return value


def _covers(prefix: str, reference: Reference) -> bool:
    if prefix.startswith("*."):
        return reference.domain.partition(":")[0].endswith(prefix[1:])
    text = str(reference)
    return text == prefix or (text.startswith(prefix) and text[len(prefix)] in "/:@" and not _cuts_port(prefix, reference))


def _cuts_port(prefix: str, reference: Reference) -> bool:
    """``example.com`` is not a prefix of ``example.com:5000/x``: the colon there begins a port, not a tag."""
    return "/" not in prefix and len(prefix) < len(reference.domain)
