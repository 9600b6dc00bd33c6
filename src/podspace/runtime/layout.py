"""Which file of the engine lies where, and how a record is written so that a crash leaves the old or the new one.

    <run>/sandboxes/<id>/    intent.json state.json config.json (OCI) shm/ hosts hostname resolv.conf pid
    <run>/containers/<id>/   intent.json state.json config.json (OCI) rootfs/ images/ mapped/ tmp/ attach ctl pid conmon.pid exec-*/
    <run>/exits/<id>         exit code, by conmon
    <run>/crun/              the OCI runtime's own state
    <run>/pause/             the root of every /pause
    <run>/tmp/               sockets of conmon, for the blink of an eye
    <lib>/containers/<id>/   upper and work of the container's overlay

Called by every verb of ``runtime``. ``run`` is a tmpfs: nothing is synced.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from podspace import settings
from podspace.linux import trees
from podspace.runtime import codec, records

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Folder:
    """Files of one sandbox or container; the folder is its OCI bundle."""

    path: Path

    def make(self, group: int) -> None:
        """Create it. Root alone passes, and ``group``: that of the root of a user namespace, who has mounts in there (0 = none)."""
        self.path.mkdir(mode=0o700)
        if group:
            os.chown(self.path, 0, group)
            self.path.chmod(0o710)

    @property
    def intent(self) -> Path:
        return self.path / "intent.json"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def oci_config(self) -> Path:
        return self.path / "config.json"

    @property
    def rootfs(self) -> Path:
        return self.path / "rootfs"

    @property
    def image_mounts(self) -> Path:
        """What images hold that are mounted into the container."""
        return self.path / "images"

    @property
    def mapped_mounts(self) -> Path:
        """Host paths with the ids of the container's user namespace."""
        return self.path / "mapped"

    @property
    def scratch(self) -> Path:
        """For mounts that are needed for a moment."""
        return self.path / "tmp"

    @property
    def pid_file(self) -> Path:
        return self.path / "pid"

    @property
    def conmon_pid_file(self) -> Path:
        return self.path / "conmon.pid"

    @property
    def runtime_log(self) -> Path:
        return self.path / "oci.log"

    @property
    def removing(self) -> Path:
        """Exists once removal has begun: recovery finishes it."""
        return self.path / "removing"

    def begin_removal(self) -> None:
        """Leave the mark. On a full disk there is none, and the removal makes room. Nothing there: fine."""
        try:
            self.removing.touch()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOSPC, errno.EDQUOT):
                raise

    @property
    def shm(self) -> Path:
        return self.path / "shm"

    @property
    def hosts(self) -> Path:
        return self.path / "hosts"

    @property
    def hostname(self) -> Path:
        return self.path / "hostname"

    @property
    def resolv_conf(self) -> Path:
        return self.path / "resolv.conf"


class Layout:
    """The folders of one engine."""

    def __init__(self, paths: settings.Paths) -> None:
        self._paths = paths
        self.sandboxes = paths.run / "sandboxes"
        self.containers = paths.run / "containers"
        self.exits = paths.run / "exits"
        self.crun = paths.run / "crun"
        self.pause = paths.run / "pause"
        self.scratch = paths.run / "tmp"
        self.snapshots = paths.snapshots

    def make(self) -> None:
        """Idempotent."""
        for folder in (self.sandboxes, self.containers, self.exits, self.crun, self.pause, self.scratch, self.snapshots):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)

    def sandbox(self, identifier: str) -> Folder:
        return Folder(self.sandboxes / identifier)

    def container(self, identifier: str) -> Folder:
        return Folder(self.containers / identifier)

    def snapshot(self, identifier: str) -> Path:
        return self.snapshots / identifier

    def save_sandbox(self, sandbox: records.Sandbox) -> None:
        """Write the facts."""
        write_json(self.sandbox(sandbox.id).state, codec.encode(sandbox.facts))

    def save_container(self, container: records.Container) -> None:
        """Write the facts."""
        write_json(self.container(container.id).state, codec.encode(container.facts))


def write_json(path: Path, data: Any) -> None:
    """Replace a file as a whole. It is root's alone: there are variables of containers in it."""
    write_text(path, json.dumps(data, separators=(",", ":")), mode=0o600)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file as a whole."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(text)
    os.replace(temporary, path)


def load(kind: type[T], path: Path) -> T | None:
    """Return the record, None when there is none that can be read."""
    try:
        return codec.decode(kind, json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_line(path: Path) -> str:
    """The first line, "" when there is none."""
    try:
        return path.read_text().partition("\n")[0]
    except FileNotFoundError:
        return ""


def holds_sandboxes(paths: settings.Paths) -> bool:
    """Whether a former server left any, before there is an engine that knows."""
    return next(names(paths.run / "sandboxes"), None) is not None


def names(folder: Path) -> Iterator[str]:
    """Names in a folder; none when it is not there."""
    try:
        yield from sorted(os.listdir(folder))
    except FileNotFoundError:
        return


def remove_tree(folder: Path) -> None:
    """Delete a folder; what is gone already is fine."""
    trees.remove(folder)
