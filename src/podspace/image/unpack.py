"""From tar entries to a folder that overlayfs takes as a layer: whiteouts become 0/0 devices, opaque marks become xattrs.

Called by ``image.extraction`` in a worker thread; one ``LayerWriter`` per layer. Where a name leads is ``image.tree``'s concern: nothing is
ever written outside the folder. A name that tries (``..``) fails the layer rather than being bent into something else.
Source: OCI image-spec layer.md ("Whiteouts"); kernel Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from podspace import errors
from podspace.image import tree
from podspace.image.tarstream import Entry, Kind
from podspace.image.tree import Parts

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_ID = 0xFFFFFFFE  # (uid_t)-1 means "leave it" to chown(2)
_SPECIAL = {Kind.CHARACTER: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK, Kind.FIFO: stat.S_IFIFO}
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EPERM})


class LayerWriter:
    """A ``tarstream.Sink``. Call ``finish`` after the last entry, ``close`` in any case."""

    def __init__(self, folder: Path) -> None:
        self._tree = tree.Tree(folder)
        self._file: int | None = None
        self._current: Entry | None = None
        self._times: dict[Parts, int] = {}
        self._root_described = False

    def entry(self, entry: Entry, /) -> None:
        self._current = entry
        with _blame(entry.name):
            if "\0" in entry.target or any("\0" in name for name in entry.xattrs):
                raise errors.BadRequest("a link's target or an attribute's name with a zero byte in it")
            self._begin(entry)

    def data(self, data: memoryview, /) -> None:
        if self._file is None:
            return  # a whiteout with content: nobody reads it
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise _explained(error, self._current.name if self._current else "?") from error

    def done(self) -> None:
        if self._file is None or self._current is None:
            return
        fd, self._file = self._file, None
        with _blame(self._current.name):
            try:
                _describe(fd, self._current)
                os.utime(fd, ns=(self._current.mtime_nanos, self._current.mtime_nanos))
            finally:
                os.close(fd)

    def finish(self) -> tuple[Parts, ...]:
        """Set the folders' times; return the folders nobody described (``()`` is the root), for the layers below to describe."""
        for parts, nanos in reversed(self._times.items()):
            with contextlib.suppress(OSError), self._opened(parts) as fd:  # something else took its place since
                os.utime(fd, ns=(nanos, nanos))
        implied = sorted(self._tree.implied)
        return tuple(implied) if self._root_described else ((), *implied)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._tree.close()

    def _begin(self, entry: Entry) -> None:
        parts = _parts(entry.name)
        if not parts:
            self._root(entry)
            return
        name = parts[-1]
        if name.startswith(_WHITEOUT):
            self._whiteout(parts[:-1], name)
            return
        if entry.kind is Kind.FOLDER:
            self._folder(parts, entry)
        elif entry.kind is Kind.HARD_LINK:
            self._hard_link(parts, entry)
        else:
            parent, _ = self._tree.folder(parts[:-1], create=True)
            tree.remove(parent, name)
            self._make(parent, name, entry)

    def _make(self, parent: int, name: str, entry: Entry) -> None:
        if entry.kind is Kind.REGULAR:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(name, flags, 0o600, dir_fd=parent)
            return
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, name, dir_fd=parent)
        else:
            os.mknod(name, _SPECIAL[entry.kind] | 0o600, _device(entry), dir_fd=parent)
        os.chown(name, _id(entry.uid), _id(entry.gid), dir_fd=parent, follow_symlinks=False)
        if entry.kind is not Kind.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent)  # follows links, but this is what was made one line ago
        os.utime(name, ns=(entry.mtime_nanos, entry.mtime_nanos), dir_fd=parent, follow_symlinks=False)

    def _root(self, entry: Entry) -> None:
        if entry.kind is not Kind.FOLDER:
            raise errors.BadRequest("it is the layer's root, and not a folder")
        with self._opened(()) as fd:
            _describe(fd, entry)
        self._root_described = True
        self._times[()] = entry.mtime_nanos

    def _folder(self, parts: Parts, entry: Entry) -> None:
        name = parts[-1]
        parent, above = self._tree.folder(parts[:-1], create=True)
        there = tree.look(parent, name)
        if there is None or not stat.S_ISDIR(there.st_mode):
            tree.remove(parent, name)
            os.mkdir(name, 0o700, dir_fd=parent)
            if there is not None and tree.is_whiteout(there):  # gone from below and made anew: that is an opaque folder
                tree.mark_opaque(parent, name)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            _describe(fd, entry)
        finally:
            os.close(fd)
        self._tree.implied.discard((*above, name))
        self._times[(*above, name)] = entry.mtime_nanos

    def _hard_link(self, parts: Parts, entry: Entry) -> None:
        target = _parts(entry.target)
        if target == parts:
            return
        if not target:
            raise errors.BadRequest("it is a hard link to the layer's root")
        source = self._linked_folder(target, entry)
        try:
            parent, _ = self._tree.folder(parts[:-1], create=True)
            tree.remove(parent, parts[-1])
            os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _linked_folder(self, target: Parts, entry: Entry) -> int:
        missing = errors.BadRequest(f"it is a hard link to {entry.target!r}, which is not in the layer")
        try:
            source, _ = self._tree.folder(target[:-1], create=False)
        except (FileNotFoundError, NotADirectoryError):
            raise missing from None
        if tree.look(source, target[-1]) is None:
            raise missing
        return os.dup(source)

    def _whiteout(self, folder: Parts, name: str) -> None:
        hidden = name.removeprefix(_WHITEOUT)
        if name == _OPAQUE:
            with self._opened(folder) as fd:
                os.setxattr(fd, tree.OPAQUE, b"y")
        elif not name.startswith(_WHITEOUT * 2):  # the others are AUFS's own bookkeeping
            if hidden in ("", ".", ".."):
                raise errors.BadRequest("it is a whiteout of nothing")
            self._hide(folder, hidden)

    def _hide(self, folder: Parts, hidden: str) -> None:
        """A whiteout is about lower layers: what this layer itself has under that name stays."""
        parent, _ = self._tree.folder(folder, create=True)
        there = tree.look(parent, hidden)
        if there is None:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        elif stat.S_ISDIR(there.st_mode):
            tree.mark_opaque(parent, hidden)

    @contextlib.contextmanager
    def _opened(self, parts: Parts) -> Iterator[int]:
        parent, _ = self._tree.folder(parts, create=True)
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
        try:
            yield fd
        finally:
            os.close(fd)


def describe_from(layers: Sequence[Path], folder: Path, implied: Sequence[Parts]) -> None:
    """Give folders that a layer's names only imply the owner, mode and time they have in the layers below (``layers``: highest first).

    Without this, a layer with ``tmp/x`` but no entry for ``tmp`` would make /tmp 0755.
    """
    if not implied:
        return
    with contextlib.ExitStack() as stack:
        upper = stack.enter_context(tree.Tree(folder))
        lower = [stack.enter_context(tree.Tree(layer)) for layer in layers]
        for parts in implied:
            _describe_one(upper, lower, parts)


def _describe_one(upper: tree.Tree, lower: Sequence[tree.Tree], parts: Parts) -> None:
    target, _ = upper.folder(parts, create=False)
    for layer in lower:
        try:
            source, _ = layer.folder(parts, create=False)
        except OSError:
            continue
        status = os.stat(source)
        path = f"/proc/self/fd/{target}"  # the descriptor is O_PATH; it is a folder, so nothing is followed
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, stat.S_IMODE(status.st_mode))
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
        return


def _parts(name: str) -> Parts:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name:
        raise errors.BadRequest("a name that leads out of the image")
    return parts


def _describe(fd: int, entry: Entry) -> None:
    """Owner first: chown(2) clears set-id bits and capabilities."""
    os.fchown(fd, _id(entry.uid), _id(entry.gid))
    if entry.xattrs:
        _set_xattrs(fd, entry.xattrs)
    os.fchmod(fd, entry.mode)


def _set_xattrs(fd: int, xattrs: Mapping[str, bytes]) -> None:
    """Only what an image may say: trusted.* steers overlayfs, security.* other than capabilities the host's policy."""
    for name, value in xattrs.items():
        if name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay.")):
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno not in _NO_XATTRS:  # the filesystem has none: as other engines, go without
                    raise


def _id(number: int) -> int:
    if not 0 <= number <= _MAX_ID:
        raise errors.BadRequest(f"an owner that cannot be: {number}")
    return number


def _device(entry: Entry) -> int:
    major, minor = entry.device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise errors.BadRequest(f"a device number that cannot be: {major}:{minor}")
    return os.makedev(major, minor) if entry.kind is not Kind.FIFO else 0


@contextlib.contextmanager
def _blame(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _explained(error, name) from error
    except errors.BadRequest as error:
        raise errors.BadRequest(f"refusing {name!r}: {error}") from error


def _explained(error: OSError, name: str) -> errors.PodspaceError:
    """The machine's fault (disk full, ...) may pass; ``str`` of an OSError would show a bare descriptor number."""
    return errors.Unavailable(f"cannot write {name!r}: {os.strerror(error.errno) if error.errno else error}")
