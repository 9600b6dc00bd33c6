"""One layer on its way from a compressed blob to an unpacked folder: hash, decompress, hash, untar, in one pass and without a copy on disk.

``feed`` blocks (it writes files) and is called in a worker thread, one call at a time. Called by ``image.service`` and ``image.archive``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from podspace import errors
from podspace.image import compression, tarstream, unpack
from podspace.image.tree import Parts


class Extraction:
    """``digest`` is the blob's ("" when none is known: docker-archive), ``diff_id`` its tar's. Both are checked by ``finish``."""

    def __init__(self, folder: Path, *, diff_id: str, digest: str = "", size: int | None = None) -> None:
        self._digest, self._diff_id, self._size = digest, diff_id, size
        self._blob_hash, self._tar_hash = hashlib.sha256(), hashlib.sha256()
        self._writer = unpack.LayerWriter(folder)
        self._tar = tarstream.TarStream(self._writer)
        self._decompressor = compression.Sniffer(self._tar_data)
        self.received = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the blob. Raises: BadRequest (damaged or hostile content), Unavailable (disk), FailedPrecondition."""
        self.received += len(data)
        if self._size is not None and self.received > self._size:
            raise errors.FailedPrecondition(f"{self._name}: more than the {self._size} bytes it should have")
        if self._digest:
            self._blob_hash.update(data)
        self._decompressor.feed(data)

    def finish(self) -> tuple[Parts, ...]:
        """Check that everything came and is what was asked for; return the folders lower layers have to describe."""
        if self._size is not None and self.received != self._size:
            raise errors.FailedPrecondition(f"{self._name}: {self.received} bytes instead of {self._size}: unexpected end of data")
        if self._digest and (actual := "sha256:" + self._blob_hash.hexdigest()) != self._digest:
            raise errors.FailedPrecondition(f"layer {self._digest}: unexpected digest {actual}, expected {self._digest}")
        self._decompressor.finish()
        self._tar.finish()
        if (actual := "sha256:" + self._tar_hash.hexdigest()) != self._diff_id:
            raise errors.FailedPrecondition(f"{self._name}: unexpected diff id {actual}, expected {self._diff_id}")
        return self._writer.finish()

    def close(self) -> None:
        self._writer.close()

    @property
    def _name(self) -> str:
        return f"layer {self._digest or self._diff_id}"

    def _tar_data(self, data: bytes) -> None:
        self._tar_hash.update(data)
        self._tar.feed(data)
