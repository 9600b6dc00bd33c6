"""Packing folders as OCI images, byte for byte the same every time: sorted, one timestamp, no names of whoever packed.

Called by ``tools.images`` and by tests that need an image of their own. Writes an OCI image layout; knows no registry.
Source: OCI image-spec (layer.md, config.md, manifest.md, image-layout.md).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMESTAMP = 1_700_000_000
CREATED = "2023-11-14T22:13:20Z"
REF_NAME = "org.opencontainers.image.ref.name"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A packed layer. ``media_type`` tells gzip from zstd."""

    diff_id: str
    blob: bytes = field(repr=False)
    media_type: str


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack_folder(root: Path) -> bytes:
    """Return the tar of everything below ``root``: owners are kept, times are not."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in [root, *sorted(root.rglob("*"))]:
            entry = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
            entry.mtime, entry.uname, entry.gname = TIMESTAMP, "", ""
            if stat.S_ISREG(path.lstat().st_mode):
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return buffer.getvalue()


def layer(tar: bytes, *, compression: str = "gzip") -> Layer:
    """Compress a layer's tar. ``compression``: gzip, zstd or none."""
    if compression == "gzip":
        blob, suffix = gzip.compress(tar, compresslevel=6, mtime=0), "+gzip"
    elif compression == "zstd":
        import zstandard

        blob, suffix = zstandard.ZstdCompressor(level=3).compress(tar), "+zstd"
    else:
        blob, suffix = tar, ""
    return Layer(diff_id=digest(tar), blob=blob, media_type=_LAYER + suffix)


class Layout:
    """An OCI image layout in a folder; blobs are added, the index is written by ``save``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        index = folder / "index.json"
        self.manifests: list[dict[str, Any]] = json.loads(index.read_text())["manifests"] if index.exists() else []

    def add_blob(self, data: bytes) -> str:
        name = digest(data)
        path = self.folder / "blobs/sha256" / name.removeprefix("sha256:")
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_bytes(data)
            partial.rename(path)
        return name

    def blob(self, name: str) -> bytes:
        return (self.folder / "blobs/sha256" / name.removeprefix("sha256:")).read_bytes()

    def add_image(self, layers: Sequence[Layer], config: Mapping[str, Any], *, architecture: str) -> dict[str, Any]:
        """Add config, layers and manifest; return the manifest's descriptor. ``config``: the runtime part (Cmd, Env, User, ...)."""
        image = {
            "created": CREATED,
            "architecture": architecture,
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
            "history": [{"created": CREATED, "created_by": "podspace tools.images"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._add(_CONFIG, _json(image)),
            "layers": [self._add(each.media_type, each.blob) for each in layers],
        }
        return {**self._add(MANIFEST, _json(manifest)), "platform": {"architecture": architecture, "os": "linux"}}

    def add_index(self, descriptors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._add(INDEX, _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(descriptors)}))

    def tag(self, descriptor: Mapping[str, Any], *names: str) -> None:
        """Give a manifest or index full names ("docker.io/library/busybox:1.28")."""
        for name in names:
            bare = {key: value for key, value in descriptor.items() if key != "platform"}
            self.manifests.append({**bare, "annotations": {REF_NAME: name}})

    def save(self) -> None:
        content = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests})
        (self.folder / "index.json").write_bytes(content)

    def _add(self, media_type: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.add_blob(data), "size": len(data)}


def archive(folder: Path, file: Path) -> None:
    """Pack a layout folder as an oci-archive."""
    file.write_bytes(pack_folder(folder))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
