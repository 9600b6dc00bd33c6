"""Images on disk: content by digest, layers unpacked, one index that says what is complete.

    blobs/sha256/<hex>      configs, manifests, indexes as they came
    layers/<hex>/           unpacked, named by chain id (a folder's owner may come from the layers below, so the tar's digest is not enough)
    layers/<hex>.json       {"boot": boot id of when it was unpacked}
    index.json              the images; whatever it does not name is not there
    work/<name>/            being unpacked, or on the way out; flock tells the living from the dead

Crash safety: everything an image needs is synced before the index names it, and the index is replaced by rename. A layer that was unpacked
by a pull that died stays usable for the next one until the machine reboots. Safe for several processes at once (server and CLI).
Called by ``image.service`` and ``image.archive``; knows no registry.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

from podspace import errors
from podspace.image import durable, manifest
from podspace.image.model import Image
from podspace.linux import trees

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image in the index. ``layers``: chain ids, lowest first. ``blobs``: digests, the config first."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    size_bytes: int = 0


Records: TypeAlias = dict[str, Record]


class ImageStore:
    """The images below one folder, which nobody but root may look into: it holds other people's set-id files and devices."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index = root / "index.json"
        self._blobs = root / "blobs" / "sha256"
        self._layers = root / "layers"
        self._work = root / "work"
        for folder in (root, self._blobs, self._layers, self._work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        self._stamp: tuple[int, int, int] | None = None
        self._records: Records = {}
        self._images: dict[str, Image] = {}

    def records(self) -> Records:
        """Return id -> record; read again only when somebody wrote. Raises: Internal when the index is damaged."""
        try:
            status = self._index.stat()
        except FileNotFoundError:
            stamp = None
        else:
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._records = self._read() if stamp is not None else {}
            self._images, self._stamp = {}, stamp
        return self._records

    def image(self, record: Record) -> Image:
        """Return what callers see of a record."""
        known = self._images.get(record.id)
        if known is None:
            config = manifest.parse_config(self.blob(record.id))
            known = self._images[record.id] = Image(
                id=record.id,
                repo_tags=record.tags,
                repo_digests=record.digests,
                size_bytes=record.size_bytes,
                config=config.image,
                layers=tuple(self.layer_folder(chain) for chain in record.layers),
                created=config.created,
                architecture=config.architecture,
            )
        return known

    def blob(self, digest: str) -> bytes:
        """Return a config's or manifest's bytes, verified. Raises: FileNotFoundError, FailedPrecondition."""
        data = self._blob_path(digest).read_bytes()
        manifest.verify(data, digest, f"{self._blob_path(digest)}: damaged")
        return data

    def find_blob(self, digest: str) -> bytes | None:
        """As ``blob``; None when it is not there, or damaged and to be fetched again."""
        with contextlib.suppress(FileNotFoundError, errors.FailedPrecondition):
            return self.blob(digest)
        return None

    def add_blob(self, data: bytes, digest: str) -> None:
        if self.find_blob(digest) is None:
            durable.write_atomically(self._blob_path(digest), data)

    def layer_folder(self, chain: str) -> Path:
        return self._layers / _hex(chain)

    def has_layer(self, chain: str) -> bool:
        return self._marker(chain).exists() and self.layer_folder(chain).exists()

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder to unpack into; what is left of it at the end is removed."""
        folder, lock = self._locked_folder()
        try:
            yield folder
        finally:
            os.close(lock)
            trees.remove_quietly(folder)

    def _locked_folder(self) -> tuple[Path, int]:
        while True:
            folder = self._work / os.urandom(8).hex()
            folder.mkdir(mode=0o755)
            with contextlib.suppress(FileNotFoundError):  # another process's sweep saw it before it was locked
                folder.chmod(0o755)  # it becomes the root of a layer
                lock = durable.try_lock(folder)
                if lock is not None and os.fstat(lock).st_nlink:
                    return folder, lock

    def commit_layer(self, folder: Path, chain: str) -> None:
        """Make an unpacked folder the layer; another process may have been faster, and then its layer stays."""
        target = self.layer_folder(chain)
        if not self.has_layer(chain):
            self._discard([target])
            try:
                folder.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody was faster by a hair
                    raise
        self._marker(chain).write_text(json.dumps({"boot": durable.boot_id()}))

    def commit_image(self, record: Record, *, layers_are_new: bool = True) -> Image:
        """Add an image, or names to one; a tag moves here from whatever had it. Blocks for the disk (syncfs)."""
        if layers_are_new or record.id not in self.records():
            durable.sync_filesystem(self.root)

        def change(records: Records) -> None:
            for other in list(records.values()):
                if other.id != record.id and set(other.tags) & set(record.tags):
                    records[other.id] = replace(other, tags=tuple(tag for tag in other.tags if tag not in record.tags))
            before = records.get(record.id)
            tags = dict.fromkeys((*(before.tags if before else ()), *record.tags))
            digests = dict.fromkeys((*(before.digests if before else ()), *record.digests))
            blobs = dict.fromkeys((*record.blobs, *(before.blobs if before else ())))
            records[record.id] = replace(record, tags=tuple(tags), digests=tuple(digests), blobs=tuple(blobs))

        self._change(change)
        return self.image(self.records()[record.id])

    def remove(self, change: Callable[[Records], None]) -> None:
        """Take records or names out of the index; ``collect`` frees what they stood on."""
        self._change(change)

    def pulling(self) -> contextlib.AbstractContextManager[None]:
        """While held, ``collect`` leaves layers nobody names alone: somebody is about to name them. Blocks for milliseconds."""
        return durable.locked(self.root / "pulls.lock", shared=True)

    def collect(self) -> None:
        """Remove layers and blobs no image needs. Does nothing while a pull runs; its own end, or the next start, is early enough."""
        lock = durable.try_lock(self.root / "pulls.lock")
        if lock is None:
            return
        try:
            records = self.records().values()
            layers = {_hex(chain) for record in records for chain in record.layers}
            blobs = {_hex(digest) for record in records for digest in record.blobs}
            self._discard([path for path in self._layers.iterdir() if path.name.partition(".")[0] not in layers])
            self._discard([path for path in self._blobs.iterdir() if path.name not in blobs])
        finally:
            os.close(lock)
        self.sweep()

    def recover(self) -> None:
        """Remove what a crash left: work of dead processes, and layers that nobody named before the machine went down."""
        lock = durable.try_lock(self.root / "pulls.lock")
        if lock is not None:
            try:
                self._discard(self._unsynced())
            finally:
                os.close(lock)
        self.sweep()

    def sweep(self) -> None:
        """Remove folders in ``work`` that no living process has locked."""
        for folder in self._work.iterdir():
            try:
                lock = durable.try_lock(folder)
            except OSError:
                continue  # removed meanwhile
            if lock is not None:
                trees.remove_quietly(folder) if folder.is_dir() else folder.unlink(missing_ok=True)
                os.close(lock)

    def _unsynced(self) -> list[Path]:
        named = {_hex(chain) for record in self.records().values() for chain in record.layers}
        boot = durable.boot_id()
        doubtful = []
        for folder in self._layers.iterdir():
            name = folder.name.partition(".")[0]
            if name not in named and _boot_of(self._layers / f"{name}.json") != boot:
                doubtful.append(folder)
        return doubtful

    def _discard(self, paths: Sequence[Path]) -> None:
        """Out of sight by rename, at once; ``sweep`` does the slow part. A layer's marker goes before the layer."""
        for path in sorted(paths, key=lambda path: path.suffix != ".json"):
            with contextlib.suppress(FileNotFoundError):
                path.rename(self._work / os.urandom(8).hex())

    def _change(self, change: Callable[[Records], None]) -> None:
        with durable.locked(self.root / "index.lock"):
            records = dict(self.records())
            before = dict(records)
            change(records)
            if records != before:
                document = {"version": _VERSION, "images": [asdict(record) for record in records.values()]}
                durable.write_atomically(self._index, json.dumps(document, indent=1).encode())

    def _read(self) -> Records:
        try:
            document = json.loads(self._index.read_bytes())
            if document["version"] != _VERSION:
                raise errors.Internal(f"{self._index} was written by another version of podspace (format {document['version']})")
            records = [_record(fields) for fields in document["images"]]
        except (ValueError, KeyError, TypeError) as error:
            raise errors.Internal(f"{self._index} is damaged ({error}); remove it and pull the images again") from error
        return {record.id: record for record in records}

    def _blob_path(self, digest: str) -> Path:
        return self._blobs / _hex(digest)

    def _marker(self, chain: str) -> Path:
        return self._layers / f"{_hex(chain)}.json"


def _record(fields: dict[str, object]) -> Record:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return Record(**lists)  # type: ignore[arg-type]  # written by asdict; a wrong shape is a TypeError, reported as damage


def _hex(digest: str) -> str:
    return manifest.check_digest(digest).removeprefix("sha256:")


def _boot_of(marker: Path) -> str:
    try:
        return str(json.loads(marker.read_text())["boot"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
