"""What the audit wants to know of an image: its user, what it starts, and whether that is an init which insists on being PID 1.

Called by ``service``. The init is found by the name of the program and, behind a symlink or in a script's ``#!``, by what the image's files
say, resolved inside each layer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from podspace.lens import audit_manifest
from podspace.linux import inroot
from podspace.oci import users
from podspace.runtime import ports

# name of the program: what it does when it is not PID 1
INITS = {
    "systemd": "systemd refuses to run as a system manager when it is not PID 1",
    "init": "an init runs only as PID 1",
    "s6-svscan": "s6 supervises only what it started, and its image's /init insists on PID 1",
    "s6-overlay-suexec": "s6-overlay stops with: can only run as pid 1",
    "runit": "runit stops with: must be run as process no 1",
    "runit-init": "runit-init only talks to PID 1",
    "openrc-init": "openrc-init insists on PID 1",
    "my_init": "my_init adopts no orphans when it is not PID 1",
}
REAPERS = {
    "tini": "tini reaps orphans only as PID 1, or with -s (TINI_SUBREAPER)",
    "tini-static": "tini reaps orphans only as PID 1, or with -s (TINI_SUBREAPER)",
    "dumb-init": "dumb-init reaps orphans only as PID 1",
    "catatonit": "catatonit refuses to run when it is not PID 1",
    "docker-init": "docker-init (tini) reaps orphans only as PID 1, or with -s",
}
_SCRIPT_BYTES = 64 << 10


def facts(image: ports.Image | None) -> audit_manifest.ImageFacts:
    """Of an image that is here; unknown for None."""
    if image is None:
        return audit_manifest.ImageFacts()
    config = image.config
    user = _user(image.layers, config.user)
    words = (*config.entrypoint, *config.cmd)
    return audit_manifest.ImageFacts(
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        entrypoint=tuple(config.entrypoint),
        cmd=tuple(config.cmd),
        init=init_of(image.layers, words[0]) if words else "",
        known=True,
    )


def init_name(words: Sequence[str]) -> str:
    """The program of a command line, if it is an init known by name. Pure."""
    name = PurePosixPath(words[0]).name if words else ""
    return name if name in INITS or name in REAPERS else ""


def init_of(layers: Sequence[Path], program: str) -> str:
    """The init a program of an image is: by its name, its symlink's target, or the interpreter of its script."""
    if name := init_name([program]):
        return name
    for layer in reversed(layers):
        target = _link(layer, program)
        if target and (name := init_name([target])):
            return name
        text = inroot.read_text(layer, program, limit_bytes=_SCRIPT_BYTES)
        if text:
            first = text.split("\n", 1)[0]
            return init_name(first[2:].split()[:1]) if first.startswith("#!") else ""
    return ""


def _link(layer: Path, path: str) -> str:
    try:
        fd = inroot.open_fd(layer, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return ""
    finally:
        os.close(fd)


def _user(layers: Sequence[Path], user: str) -> users.User:
    try:
        return users.resolve(passwd=_text(layers, "/etc/passwd"), group=_text(layers, "/etc/group"), user=user)
    except users.UnknownUser:  # it will not start; that is said elsewhere
        return users.User(uid=0, gid=0, groups=(), home="/")


def _text(layers: Sequence[Path], path: str) -> str:
    return next((text for layer in reversed(layers) if (text := inroot.read_text(layer, path, limit_bytes=1 << 20))), "")
