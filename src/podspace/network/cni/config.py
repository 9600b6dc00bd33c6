"""Which network a folder of CNI configurations names: the lexically first file's, as with every runtime.

Pure but for reading the folder. A first file that cannot be read or understood means no network at all, not the second file's: a Pod must
not end up elsewhere because somebody is in the middle of an edit.
Source: CNI SPEC.md (Section 1: network configuration format); containernetworking libcni conf.go; containerd go-cni.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.kube.json import JSON

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")  # those whose results have the same shape
NOT_INITIALIZED = "cni plugin not initialized"
_ENDINGS = (".conf", ".conflist", ".json")


class NotInitialized(errors.Unavailable):
    """There is no network to be had. The words begin as containerd's, which tools look for."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{NOT_INITIALIZED}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """One network: its plugins in the order they are called to add."""

    name: str
    version: str
    plugins: tuple[JSON, ...]
    disable_check: bool = False

    def at_least(self, version: str) -> bool:
        return VERSIONS.index(self.version) >= VERSIONS.index(version)


def files(folder: Path) -> list[Path]:
    """The configurations of a folder in their order; none where there is no folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def load(folder: Path) -> NetworkConfig:
    """Raises: NotInitialized, which says what is missing or wrong."""
    found = files(folder)
    if not found:
        raise NotInitialized(f"no network config found in {folder}")
    first = found[0]
    try:
        return parse(first.read_text(), is_list=first.suffix == ".conflist", folder=folder)
    except (OSError, ValueError) as error:
        raise NotInitialized(f"{first}: {error}") from error


def parse(text: str, *, is_list: bool, folder: Path | None = None) -> NetworkConfig:
    """``folder``: where a list's further plugins may lie, below its name. Raises: ValueError."""
    raw = _object(json.loads(text), "the configuration")
    name = raw.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise ValueError("it has no name, or one with a slash")
    plugins = list(_list_of(raw, name, folder)) if is_list else [raw]
    if not plugins:
        raise ValueError("it lists no plugins")
    for plugin in plugins:
        kind = _object(plugin, "a plugin").get("type")
        if not isinstance(kind, str) or not kind or "/" in kind:
            raise ValueError("a plugin has no type, or one with a slash")
    return NetworkConfig(name=name, version=_version(raw), plugins=tuple(plugins), disable_check=bool(raw.get("disableCheck")))


def _list_of(raw: JSON, name: str, folder: Path | None) -> Iterator[JSON]:
    inlined = raw.get("plugins") or []
    if not isinstance(inlined, list):
        raise ValueError("its plugins are not a list")
    yield from inlined
    if folder is not None and raw.get("loadOnlyInlinedPlugins") is not True:
        for path in files(folder / name):
            yield json.loads(path.read_text())


def _version(raw: JSON) -> str:
    """The newest of those offered that is known here."""
    offered = [raw.get("cniVersion") or "", *(raw.get("cniVersions") or ())]
    known = [version for version in VERSIONS if version in offered]
    if not known:
        raise ValueError(
            f"unsupported CNI version {', '.join(filter(None, offered)) or '(none given)'}, of {VERSIONS[0]} to {VERSIONS[-1]}"
        )
    return known[-1]


def _object(value: Any, what: str) -> JSON:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value


def encode(config: NetworkConfig) -> JSON:
    """What is kept with an attachment, for the day its configuration is another or gone."""
    return {"name": config.name, "version": config.version, "plugins": list(config.plugins), "disableCheck": config.disable_check}


def decode(raw: JSON) -> NetworkConfig:
    """Raises: KeyError, TypeError."""
    return NetworkConfig(
        name=raw["name"], version=raw["version"], plugins=tuple(raw["plugins"]), disable_check=bool(raw.get("disableCheck"))
    )
