"""The images of this machine: find, pull, load, list, remove. What everybody above calls; the rest of ``image`` is behind it.

Knows settings, the store and who may be asked for what; not Pods, and not who uses an image (``remove`` is told).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from podspace import errors
from podspace.aio import cleanup
from podspace.image import archive, auth, layers, manifest, reference, registries_conf, wording
from podspace.image.auth import Credential
from podspace.image.flights import Flights
from podspace.image.model import Image, Progress
from podspace.image.pulling import Pull
from podspace.image.reference import Reference
from podspace.image.store import ImageStore, Record, Records
from podspace.image.transport import Transport
from podspace.settings import Settings

ImageList: TypeAlias = list[Image]

_SHORT_ID = re.compile(r"(?:sha256:)?[0-9a-f]{4,64}")
_READ_BYTES = 1 << 20
_DISK_SECONDS = 3600.0


class Images:
    """One per server; also used by the CLI beside a running server (the store is safe for several processes)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = ImageStore(settings.paths.images)
        self._transport = Transport()
        self._layers = layers.Layers(self._store)
        self._pulls: Flights[Image] = Flights()

    def find(self, name: str, /) -> Image | None:
        """Look an image up by reference as users spell it, or by id. Raises: BadRequest for a name nobody could have given."""
        image_id = reference.image_id(name)
        record = self._store.records().get(image_id) if image_id is not None else self._named(reference.parse(name))
        return None if record is None else self._present(record)

    def list(self) -> ImageList:
        """All images, by first name."""
        images = (self._present(record) for record in self._store.records().values())
        return sorted(filter(None, images), key=lambda image: (not image.repo_tags, *image.repo_tags, image.id))

    async def recover(self) -> None:
        """Remove what a crash left behind. Not needed before anything else is called, only for the disk's sake."""
        await asyncio.to_thread(self._store.recover)

    async def pull(self, name: str, *, credentials: Sequence[Credential] = (), progress: Progress | None = None) -> Image:
        """Bring ``name`` from its registry and return it; only what is missing is downloaded.

        Callers that ask for the same at the same time share the work; it stops when the last of them is cancelled.
        Raises: BadRequest (bad name, or not an image), NotFound, Unauthorized, Forbidden (the registry said so, its words are in the
        message), Unavailable (network, disk full), FailedPrecondition (content that does not match its digest).
        """
        wanted = reference.parse(name)
        if wanted.digest and (record := self._named(wanted)) is not None and self._is_complete(record) and (image := self._present(record)):
            return image
        key = (str(wanted), tuple(credentials))
        return await self._pulls.join(key, lambda tell: self._pull(wanted, credentials, tell), progress)

    async def load(self, path: Path, *, progress: Progress | None = None) -> ImageList:
        """Take in a docker-archive or oci-archive tarball or an OCI layout folder.

        ``repo_tags`` of what comes back are the names it had in there, whatever else it is called.
        Raises: BadRequest, NotFound, and as ``pull``.
        """
        with contextlib.ExitStack() as stack:
            try:
                members = await cleanup.finish(asyncio.to_thread(stack.enter_context, archive.opened(path)), _DISK_SECONDS)
                await self._hold(stack)
                found = await asyncio.to_thread(archive.read, members)
                return [await self._load_one(members, image, progress) for image in found]
            except (errors.PodspaceError, OSError) as error:
                raise wording.like(error, f"failed to load {path}: {wording.detail(error)}") from error

    async def remove(self, name: str, *, in_use: Collection[str] = ()) -> tuple[str, ...]:
        """Remove a name, and with its last name (or by id, or the beginning of one) the image; return what was removed, names and ids.

        in_use: ids of images that containers stand on. Raises: NotFound, FailedPrecondition.
        """
        removed: list[str] = []

        def change(records: Records) -> None:
            removed.extend(_remove(records, name, in_use))

        await asyncio.to_thread(self._store.remove, change)
        await cleanup.finish(asyncio.to_thread(self._store.collect), _DISK_SECONDS)
        return tuple(removed)

    def _named(self, wanted: Reference) -> Record | None:
        return _find(self._store.records(), wanted)

    def _present(self, record: Record) -> Image | None:
        """An image whose config somebody deleted or damaged is not there: the next pull repairs it."""
        with contextlib.suppress(FileNotFoundError, errors.FailedPrecondition):
            return self._store.image(record)
        return None

    def _is_complete(self, record: Record) -> bool:
        return all(map(self._store.has_layer, record.layers))

    async def _pull(self, wanted: Reference, credentials: Sequence[Credential], tell: Progress) -> Image:
        endpoints = registries_conf.load(self._settings.registries_conf).endpoints(wanted)
        with contextlib.ExitStack() as stack:
            await self._hold(stack)
            pull = Pull(
                wanted,
                endpoints=endpoints,
                credentials=(*credentials, *auth.read_files(auth.default_files())),
                store=self._store,
                unpacker=self._layers,
                transport=self._transport,
            )
            return await pull.run(tell)

    async def _hold(self, stack: contextlib.ExitStack) -> None:
        """Keep ``collect`` off what is about to be named. A lock can take a moment, so not on the event loop."""
        await cleanup.finish(asyncio.to_thread(stack.enter_context, self._store.pulling()), _DISK_SECONDS)

    async def _load_one(self, members: archive.Members, image: archive.ArchivedImage, progress: Progress | None) -> Image:
        chains = manifest.chain_ids([layer.diff_id for layer in image.layers])
        fresh = False
        for index, layer in enumerate(image.layers):  # one after the other: they come out of one file
            source = _source(members, layer, chains[index])
            below = [_source(members, image.layers[lower], chains[lower]) for lower in range(index)]
            fresh |= await self._layers.bring([*below, source], progress)
        for digest, body in image.blobs.items():
            await asyncio.to_thread(self._store.add_blob, body, digest)
        names = [reference.parse(name) for name in image.names]
        record = Record(
            id=image.id,
            tags=image.names,
            digests=tuple(f"{name.name}@{image.digest}" for name in names) if image.digest else (),
            blobs=tuple(image.blobs),
            layers=chains,
            size_bytes=image.size_bytes,
        )
        whole = await asyncio.to_thread(self._store.commit_image, record, layers_are_new=fresh)
        return dataclasses.replace(whole, repo_tags=image.names)


def _source(members: archive.Members, layer: archive.ArchivedLayer, chain: str) -> layers.Source:
    async def read() -> AsyncGenerator[bytes, None]:
        file: IO[bytes] = await asyncio.to_thread(members.open, layer.name)
        with file:
            while chunk := await cleanup.finish(asyncio.to_thread(file.read, _READ_BYTES), _DISK_SECONDS):
                yield chunk

    return layers.Source(diff_id=layer.diff_id, chain=chain, digest=layer.digest, size=layer.size, open=read)


def _find(records: Records, wanted: Reference) -> Record | None:
    text = f"{wanted.name}@{wanted.digest}" if wanted.digest else str(wanted)
    return next((record for record in records.values() if text in (record.digests if wanted.digest else record.tags)), None)


def _remove(records: Records, name: str, in_use: Collection[str]) -> list[str]:
    """Change ``records`` in place. Raises: NotFound, FailedPrecondition, BadRequest."""
    record, wanted = _look_up(records, name)
    if wanted is not None and not wanted.digest and len(record.tags) > 1:
        records[record.id] = _without_tag(record, str(wanted))
        return [str(wanted)]
    if record.id in in_use:
        raise errors.FailedPrecondition(f'image "{name}" ({record.id}) is used by a container; delete its Pod first')
    del records[record.id]
    return [*record.tags, record.id]


def _look_up(records: Records, name: str) -> tuple[Record, Reference | None]:
    """Return an image by name, or by id: whole, or as much of it as a listing shows (then no name comes back)."""
    whole = reference.image_id(name)
    named = None if whole else reference.parse(name)
    if named is not None and (record := _find(records, named)) is not None:
        return record, named
    start = whole or (f"sha256:{name.removeprefix('sha256:')}" if _SHORT_ID.fullmatch(name) else None)
    fitting = [record for image_id, record in records.items() if start and image_id.startswith(start)]
    if len(fitting) > 1:
        raise errors.BadRequest(f'"{name}" is the beginning of {len(fitting)} image ids; give more of it')
    if not fitting:
        raise errors.NotFound(f'image "{name}" is not on this machine')
    return fitting[0], None


def _without_tag(record: Record, tag: str) -> Record:
    return dataclasses.replace(record, tags=tuple(each for each in record.tags if each != tag))
