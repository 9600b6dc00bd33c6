"""``podspace cp``: files to and from containers, by ``tar`` at the other end, as kubectl does it.

A container may send anything: what is unpacked here are plain files and folders, never links, and none outside the destination.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from podspace.cli import client, exec, failure, flags, kubeconfig, pods, remote
from podspace.lens import safetext

USAGE = """
Copy files and folders from and to containers. The container's image must have tar.

  podspace cp LOCAL [NAMESPACE/]POD:PATH [-c CONTAINER]
  podspace cp [NAMESPACE/]POD:PATH LOCAL [-c CONTAINER]

Examples:
  podspace cp nginx.conf nginx:/etc/nginx/nginx.conf -c nginx
  podspace cp nginx:/var/log/nginx logs -c nginx
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="container (default: the annotated one, or the first)"),
    flags.Flag("no-preserve", help="with the user's own ownership and rights"),
    flags.Flag("retries", takes="N", default="0", help="accepted as kubectl does"),
    *flags.COMMON,
)
# What tarfile raises at what no tar writes: links to nothing or to themselves, numbers that are none, names with a NUL.
NO_ARCHIVE = (tarfile.TarError, EOFError, KeyError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One end of a copy; ``pod`` "" = here."""

    namespace: str = ""
    pod: str = ""
    path: str


def run(argv: Sequence[str]) -> int:
    options = flags.parse("cp", USAGE, FLAGS, argv)
    if len(options.args) != 2:
        raise failure.Usage("source and destination are required", "cp")
    source, destination = (place(argument) for argument in options.args)
    if bool(source.pod) == bool(destination.pod):
        raise failure.Failure(
            "one of src or dest must be a local file specification"
            if source.pod
            else "one of src or dest must be a remote file specification"
        )
    with client.Client(kubeconfig.load(options)) as api:
        return _copy(options, api, source, destination)


def _copy(options: flags.Options, api: client.Client, source: Place, destination: Place) -> int:
    there = source if source.pod else destination
    if there.namespace:
        api.cluster.namespace = there.namespace
    pod = pods.get(api, there.pod)
    pods.refuse_finished(pod, "exec into")
    container = pods.container(pod, options.text("container"))

    def execute(command: Sequence[str], ends: remote.Ends, quiet: bool = False) -> int:
        path = exec.session_path(api.cluster.namespace, there.pod, "exec", container, ends, command)
        return remote.exit_code(remote.run(api, path, ends), quiet=quiet)

    if source.pod:
        return download(execute, source.path, Path(destination.path))
    return upload(execute, Path(source.path), destination.path, preserve=not options.on("no-preserve"))


class Execute(Protocol):
    """Runs a command in the container; returns its exit code."""

    def __call__(self, command: Sequence[str], ends: remote.Ends, quiet: bool = False) -> int: ...


def place(argument: str) -> Place:
    """``pod:path``, ``namespace/pod:path`` or a local path; ``./a:b`` is local."""
    before, colon, path = argument.partition(":")
    if not colon or before.startswith((".", "/")) or not before:
        return Place(path=argument)
    namespace, _, pod = before.rpartition("/")
    if "/" in namespace:
        return Place(path=argument)
    if not path:
        raise failure.Failure("filepath can not be empty")
    return Place(namespace=namespace, pod=pod, path=path)


def upload(execute: Execute, source: Path, path: str, *, preserve: bool = True) -> int:
    """Pack here, unpack there. An existing folder, or a path that ends in a slash, is where it goes into."""
    if not source.exists() and not source.is_symlink():
        raise failure.Failure(f"{source} doesn't exist in local filesystem")
    into = path.endswith("/") or _is_folder(execute, path)
    target = PurePosixPath(path) / source.absolute().name if into else PurePosixPath(path)
    reading, writing = os.pipe()
    packer = threading.Thread(target=_pack, args=(writing, source, target.name), daemon=True)
    packer.start()
    unpacking = ["-xmf"] if preserve else ["--no-same-permissions", "--no-same-owner", "-xmf"]
    try:
        return execute(["tar", *unpacking, "-", "-C", str(target.parent)], remote.Ends(stdin=reading))
    finally:
        os.close(reading)
        packer.join()


def _is_folder(execute: Execute, path: str) -> bool:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        return execute(["test", "-d", path], remote.Ends(stdout=nowhere, stderr=nowhere), quiet=True) == 0
    finally:
        os.close(nowhere)


def _pack(descriptor: int, source: Path, name: str) -> None:
    try:
        with os.fdopen(descriptor, "wb") as pipe, tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT) as archive:
            archive.add(source, arcname=name)
    except BrokenPipeError:
        pass  # the other side has said why


def download(execute: Execute, path: str, destination: Path) -> int:
    """Pack there, unpack here; into ``destination`` if it is a folder, else as it."""
    name = PurePosixPath(path).name
    with tempfile.TemporaryFile() as archive:
        code = execute(["tar", "cf", "-", path], remote.Ends(stdout=archive.fileno()))
        archive.seek(0)
        target = destination / name if destination.is_dir() and name not in ("", "..") else destination
        try:
            with tarfile.open(fileobj=archive) as tar:
                unpack(tar, path.lstrip("/"), target)
        except NO_ARCHIVE as error:
            if not code:
                raise failure.Failure(f"the container sent no archive: {error}") from None
    return code


def unpack(tar: tarfile.TarFile, prefix: str, target: Path) -> None:
    """Members at and below ``prefix`` become ``target`` and what is below it. Raises: failure.Failure for one that would land elsewhere."""
    for member in tar:
        rest = _below(member.name, str(PurePosixPath(prefix)))
        if rest is None:
            continue
        if ".." in rest.parts:
            raise failure.Failure(f"refused what the container sent: {safetext.escaped(member.name)} is outside of the destination")
        path = target / rest
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif member.isfile() or member.islnk():
            _write(tar, member, path)
        else:
            print(f'warning: skipping "{safetext.escaped(member.name)}": neither a file nor a folder', file=sys.stderr)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """A hard link becomes a file with the same content."""
    content = tar.extractfile(member)
    if content is None:
        raise failure.Failure(f"refused what the container sent: {safetext.escaped(member.name)} has no content")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with content, os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file)
        os.fchmod(descriptor, member.mode & 0o777)


def _below(name: str, prefix: str) -> PurePosixPath | None:
    """The part of ``name`` below ``prefix``: "." for itself, None for what is elsewhere."""
    try:
        return PurePosixPath(name.lstrip("/")).relative_to(prefix)
    except ValueError:
        return None
