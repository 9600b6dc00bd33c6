"""From a reference to an image in the store, through a registry.

Called by ``image.service``, once per reference at a time. What is fetched is verified here against the digest that named it, from the
reference or the tag's manifest down to the layers. Failures read as containerd's do, because that is what users search for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from podspace import errors
from podspace.image import layers, manifest, wording
from podspace.image.auth import Credential
from podspace.image.manifest import Config, Descriptor, Index, Manifest
from podspace.image.model import Image, Progress
from podspace.image.reference import Reference
from podspace.image.registries_conf import Endpoint
from podspace.image.sources import Sources
from podspace.image.store import ImageStore, Record
from podspace.image.transport import Transport

_MAX_NESTING = 3


class Pull:
    """One pull of one reference. ``run`` once, inside ``store.pulling()``."""

    def __init__(
        self,
        reference: Reference,
        *,
        endpoints: Sequence[Endpoint],
        credentials: Sequence[Credential],
        store: ImageStore,
        unpacker: layers.Layers,
        transport: Transport,
    ) -> None:
        self._reference = reference
        self._store = store
        self._unpacker = unpacker
        self._transport = transport
        self._sources = Sources(transport, endpoints, credentials)
        self._blobs: dict[str, bytes] = {}

    async def run(self, progress: Progress | None) -> Image:
        """Raises: see ``Images.pull``."""
        try:
            async with self._transport.opened():
                return await self._run(progress)
        except (errors.PodspaceError, OSError) as error:
            message = f'failed to pull and unpack image "{self._reference}": {wording.detail(error)}'
            raise wording.like(error, message) from error

    async def _run(self, progress: Progress | None) -> Image:
        try:
            digest, found = await self._resolve()
        except errors.PodspaceError as error:
            context = f'failed to resolve reference "{self._reference}": {self._reference}'
            raise wording.like(error, f"{context}: {error}") from error
        chosen = await self._choose(found)
        config_body = await self._config(chosen.config)
        config = manifest.parse_config(config_body)
        parts = self._layers(chosen, config)
        fresh = await self._unpacker.bring(parts, progress)
        for blob_digest, body in self._blobs.items():
            await asyncio.to_thread(self._store.add_blob, body, blob_digest)
        record = self._record(digest, chosen, config)
        return await asyncio.to_thread(self._store.commit_image, record, layers_are_new=fresh)

    async def _resolve(self) -> tuple[str, Manifest | Index]:
        wanted = self._reference.digest or await self._unchanged()
        known = self._store.find_blob(wanted) if wanted.startswith("sha256:") else None
        if known is not None:
            body, media_type = known, ""
        else:
            body, media_type = await self._sources.manifest(wanted or self._reference.tag)
        digest = manifest.digest(body)
        if wanted and digest != wanted:
            raise errors.FailedPrecondition(f"unexpected digest {digest}, expected {wanted}")
        self._blobs[digest] = body
        return digest, manifest.parse(body, media_type)

    async def _unchanged(self) -> str:
        """Return the digest the tag has at its registry if that manifest is here, else "".

        For Pods that always pull: asking with HEAD does not count against Docker Hub's limit of pulls.
        """
        if not any(str(self._reference) in record.tags for record in self._store.records().values()):
            return ""
        digest = await self._sources.digest(self._reference.tag)
        return digest if manifest.is_digest(digest) and self._store.find_blob(digest) is not None else ""

    async def _choose(self, found: Manifest | Index) -> Manifest:
        for _ in range(_MAX_NESTING):
            if isinstance(found, Manifest):
                return found
            descriptor = manifest.choose(found, manifest.host_platform())
            body = self._store.find_blob(descriptor.digest)
            if body is None:
                body, _type = await self._sources.manifest(descriptor.digest)
                manifest.verify(body, descriptor.digest, f"manifest {descriptor.digest}")
            self._blobs[descriptor.digest] = body
            found = manifest.parse(body, descriptor.media_type)
        raise errors.BadRequest("an image index inside an index inside an index")

    async def _config(self, descriptor: Descriptor) -> bytes:
        body = self._store.find_blob(descriptor.digest)
        if body is None:
            body = await self._sources.small_blob(descriptor.digest)
            manifest.verify(body, descriptor.digest, f"config {descriptor.digest}")
        self._blobs[descriptor.digest] = body
        return body

    def _layers(self, chosen: Manifest, config: Config) -> list[layers.Source]:
        if len(chosen.layers) != len(config.diff_ids):
            raise errors.BadRequest(f"the manifest has {len(chosen.layers)} layers, the config {len(config.diff_ids)}")
        chains = manifest.chain_ids(config.diff_ids)
        return [
            layers.Source(diff_id=diff_id, chain=chain, digest=layer.digest, size=layer.size, open=_Opener(self, layer.digest))
            for layer, diff_id, chain in zip(chosen.layers, config.diff_ids, chains, strict=True)
        ]

    def _record(self, digest: str, chosen: Manifest, config: Config) -> Record:
        by_tag = self._reference.tag and not self._reference.digest
        manifests = [each for each in self._blobs if each != chosen.config.digest]
        return Record(
            id=chosen.config.digest,
            tags=(str(self._reference),) if by_tag else (),
            digests=(f"{self._reference.name}@{digest}",),
            blobs=(chosen.config.digest, *manifests),
            layers=manifest.chain_ids(config.diff_ids),
            size_bytes=sum(layer.size for layer in chosen.layers) + chosen.config.size + sum(len(self._blobs[each]) for each in manifests),
        )

    async def read(self, digest: str) -> AsyncGenerator[bytes, None]:
        """Yield a layer's blob. Keeps the session open by itself: the layer may be wanted by another pull when this one is cancelled."""
        async with self._transport.opened():
            async for chunk in self._sources.blob(digest):
                yield chunk


class _Opener:
    """``Pull.read`` of one layer, to be called when its turn comes."""

    def __init__(self, pull: Pull, digest: str) -> None:
        self._pull = pull
        self._digest = digest

    def __call__(self) -> AsyncGenerator[bytes, None]:
        return self._pull.read(self._digest)
