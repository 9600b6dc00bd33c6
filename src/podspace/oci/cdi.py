"""Devices by name: what a vendor's files in /etc/cdi and /var/run/cdi add to a container's OCI spec for them.

``load`` reads the files, ``edited`` is pure, ``inject`` does both. Called by ``runtime`` when a container asks for such devices. The files
are the administrator's and trusted as such; one that makes no sense takes only its own devices away, and says so in their refusal.
Source: Container Device Interface SPEC.md; containerd's cri.CDIDevices.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podspace import errors

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))  # a later one wins
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]/[A-Za-z][A-Za-z0-9_-]*")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_KNOWN = frozenset({"env", "deviceNodes", "mounts", "hooks", "additionalGids"})

Edits = Mapping[str, Any]  # containerEdits, as in a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """``common``: the edits all devices of its file share."""

    file: Path
    common: Edits
    own: Edits


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Devices by their full names, and what is wrong with files: path to words."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    broken: Mapping[Path, str] = field(default_factory=dict)


def load(directories: Sequence[Path] = DIRECTORIES) -> Registry:
    """Read all files. A name two files of one folder have is nobody's."""
    devices: dict[str, Device] = {}
    broken: dict[Path, str] = {}
    for directory in directories:
        here: dict[str, list[Device]] = {}
        for path in sorted(directory.glob("*")):
            if path.suffix in (".json", ".yaml"):
                try:
                    for name, device in _parsed(path).items():
                        here.setdefault(name, []).append(device)
                except (OSError, ValueError) as error:
                    broken[path] = str(error)
        for name, found in here.items():
            devices[name] = found[0]
            if len(found) > 1:
                del devices[name]
                broken[found[0].file] = f"{name} is in {found[1].file} as well"
    return Registry(devices=devices, broken=broken)


def _parsed(path: Path) -> dict[str, Device]:
    """Raises: OSError, ValueError."""
    raw = _read(path)
    kind = raw.get("kind")
    if not raw.get("cdiVersion") or not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ValueError(f"it has no cdiVersion, or its kind {kind!r} is not VENDOR/CLASS")
    found = {}
    for item in raw.get("devices") or ():
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a device")
        found[f"{kind}={name}"] = Device(file=path, common=raw.get("containerEdits") or {}, own=item.get("containerEdits") or {})
    return found


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text()
    if path.suffix == ".json":
        raw = json.loads(text)
    else:
        import yaml

        try:
            raw = yaml.load(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            raise ValueError(f"no YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError("it holds no object")
    return raw


def inject(spec: dict[str, Any], names: Sequence[str], directories: Sequence[Path] = DIRECTORIES) -> dict[str, Any]:
    """Return the OCI spec with these devices. Raises: FailedPrecondition."""
    known = load(directories)
    missing = [name for name in names if name not in known.devices]
    if missing:
        why = "".join(f"; {path}: {words}" for path, words in known.broken.items())
        raise errors.FailedPrecondition(f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}{why}")
    for edits in edits_of(known, names):
        try:
            spec = edited(spec, edits)
        except (OSError, ValueError) as error:
            raise errors.FailedPrecondition(f"CDI device injection failed: {', '.join(names)}: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise errors.FailedPrecondition(
                f"CDI device injection failed: {', '.join(names)}: not as in CDI's specification: {error!r}"
            ) from error
    return spec


def edits_of(known: Registry, names: Sequence[str]) -> list[Edits]:
    """In their order: what is common to a file once, before the first of its devices."""
    found: list[Edits] = []
    files = set()
    for name in names:
        device = known.devices[name]
        if device.file not in files:
            files.add(device.file)
            found.append(device.common)
        found.append(device.own)
    return [edits for edits in found if edits]


def edited(spec: dict[str, Any], edits: Edits) -> dict[str, Any]:
    """Return the spec with one set of edits. Raises: FailedPrecondition, and whatever an edit that makes no sense gives rise to."""
    if unknown := edits.keys() - _KNOWN:
        raise errors.FailedPrecondition(f"CDI device injection failed: {', '.join(sorted(unknown))} cannot be applied here")
    process, linux = dict(spec["process"]), dict(spec["linux"])
    user = dict(process["user"])
    process["env"] = _env(process.get("env") or [], edits.get("env") or ())
    groups = list(user.get("additionalGids") or ())
    user["additionalGids"] = groups + [gid for gid in edits.get("additionalGids") or () if gid and gid not in groups]
    process["user"] = user
    nodes = [_node(item, user) for item in edits.get("deviceNodes") or ()]
    paths = {node["path"] for node in nodes}
    linux["devices"] = [node for node in linux.get("devices") or () if node["path"] not in paths] + nodes
    rules = [_rule(node, item) for node, item in zip(nodes, edits.get("deviceNodes") or (), strict=True) if node["type"] in "bc"]
    resources = linux.get("resources") or {}
    linux["resources"] = resources | {"devices": [*(resources.get("devices") or ()), *rules]}
    result = {**spec, "process": process, "linux": linux, "mounts": _mounts(spec["mounts"], edits.get("mounts") or ())}
    hooks = _hooks(spec.get("hooks") or {}, edits.get("hooks") or ())
    return result | ({"hooks": hooks} if hooks else {})


def _env(env: Sequence[str], more: Sequence[str]) -> list[str]:
    replaced = {entry.partition("=")[0] for entry in more}
    return [entry for entry in env if entry.partition("=")[0] not in replaced] + list(more)


def _node(item: Mapping[str, Any], user: Mapping[str, Any]) -> dict[str, Any]:
    """What the file does not say is as on the host; without an owner there it is the container's user's."""
    path = item["path"]
    node = {key: item[key] for key in ("type", "major", "minor", "fileMode", "uid", "gid") if item.get(key) is not None}
    if node.get("type") != "p" and not {"type", "major"} <= node.keys():
        status = os.stat(item.get("hostPath") or path)
        kind = (
            "b" if stat.S_ISBLK(status.st_mode) else "c" if stat.S_ISCHR(status.st_mode) else "p" if stat.S_ISFIFO(status.st_mode) else ""
        )
        if not kind or node.get("type", kind) not in (kind, "u"):
            raise ValueError(f"{item.get('hostPath') or path} is not the device that is described")
        node |= {"type": kind, "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
        node.setdefault("fileMode", stat.S_IMODE(status.st_mode))
    for key in ("uid", "gid"):
        if user.get(key):
            node.setdefault(key, user[key])
    return {"path": path, **node}


def _rule(node: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    access = item.get("permissions") or "rwm"
    return {"allow": True, "type": node["type"], "major": node["major"], "minor": node.get("minor", 0), "access": access}


def _mounts(mounts: Sequence[dict[str, Any]], more: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parents first, as the OCI runtime goes through them in order; where two want one place the device's wins."""
    added = [
        {
            "destination": item["containerPath"],
            "source": item["hostPath"],
            "type": item.get("type") or "bind",
            "options": list(item.get("options") or ("rbind", "rprivate")),
        }
        for item in more
    ]
    places = {mount["destination"] for mount in added}
    kept = [mount for mount in mounts if mount["destination"] not in places]
    return kept + sorted(added, key=lambda mount: str(mount["destination"]).rstrip("/").count("/"))


def _hooks(hooks: Mapping[str, Any], more: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Raises: ValueError."""
    found = {name: list(entries) for name, entries in hooks.items()}
    for item in more:
        if item["hookName"] not in _HOOKS:
            raise ValueError(f"{item['hookName']!r} is no hook of an OCI runtime")
        hook = {key: item[key] for key in ("path", "args", "env", "timeout") if item.get(key)}
        found.setdefault(item["hookName"], []).append(hook)
    return found
