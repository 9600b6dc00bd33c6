"""Images in files: docker-archive (``docker save``), oci-archive and OCI layout folders. Reads them, writes nothing.

Called by ``image.service``; every digest that is stated is verified by it or by the unpacker. Members of a tarball are only read by name,
never extracted. Source: OCI image-spec image-layout.md; moby image/spec/v1.2 ("Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import contextlib
import io
import json
import posixpath
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from podspace import errors
from podspace.image import compression, manifest, reference
from podspace.image.manifest import Config, Descriptor, Index, Manifest

_GZIP, _ZSTD, _BZIP2, _XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0"
_MAGIC_BYTES = 6
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedLayer:
    """``name``: member to read. ``digest``: of the blob as it is there, "" when the archive does not say."""

    name: str
    diff_id: str
    digest: str
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """``blobs``: digest -> bytes, config first. ``digest``: of its manifest, "" for docker-archive."""

    id: str
    names: tuple[str, ...]
    digest: str
    config: Config
    blobs: dict[str, bytes]
    layers: tuple[ArchivedLayer, ...]

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.blobs.values())) + sum(layer.size or 0 for layer in self.layers)


class Members(Protocol):
    """What an archive and a folder have in common."""

    def open(self, name: str, /) -> IO[bytes]:
        """Raises: NotFound."""

    def size(self, name: str, /) -> int: ...


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Members]:
    """Open a layout folder or a tarball (compressed or not). Raises: NotFound, BadRequest."""
    if path.is_dir():
        yield _Folder(path)
        return
    with contextlib.ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            raise errors.NotFound(f"{path}: no such file or folder") from None
        plain = stack.enter_context(_decompressed(raw))
        try:
            members = _Tarball(stack.enter_context(tarfile.open(fileobj=plain, mode="r:")))
        except tarfile.TarError as error:
            raise errors.BadRequest(f"{path} is neither a tarball of images nor an OCI layout: {error}") from error
        yield members


def read(members: Members) -> list[ArchivedImage]:
    """Return the images; layers are not read yet. Raises: BadRequest, NotFound, FailedPrecondition."""
    index = _json(members, "index.json")
    docker = _json(members, "manifest.json")
    if isinstance(index, dict):
        return _oci(members, index, docker)
    if isinstance(docker, list):
        return [_docker(members, entry) for entry in docker]
    raise errors.BadRequest("neither index.json (OCI) nor manifest.json (docker save) is in it: no images")


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str, /) -> IO[bytes]:
        try:
            return (self._root / _safe(name)).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise errors.NotFound(f"{self._root} has no {name}") from None

    def size(self, name: str, /) -> int:
        with self.open(name) as file:
            return file.seek(0, 2)


class _Tarball:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {posixpath.normpath(member.name): member for member in tar.getmembers()}

    def open(self, name: str, /) -> IO[bytes]:
        file = self._tar.extractfile(self._member(name))
        if file is None:
            raise errors.NotFound(f"the archive has no {name}")
        return file

    def size(self, name: str, /) -> int:
        return self._member(name).size

    def _member(self, name: str) -> tarfile.TarInfo:
        """Old ``docker save`` stores a layer once and links to it."""
        for _ in range(8):
            member = self._members.get(posixpath.normpath(name))
            if member is None:
                break
            if not (member.issym() or member.islnk()):
                return member
            name = member.linkname if member.islnk() else posixpath.join(posixpath.dirname(member.name), member.linkname)
        raise errors.NotFound(f"the archive has no {name}")


def _oci(members: Members, index: dict[str, Any], docker: object) -> list[ArchivedImage]:
    tags = _docker_tags(docker)
    found: dict[str, ArchivedImage] = {}
    for entry in _list(index.get("manifests"), "index.json: manifests"):
        annotations = entry.get("annotations") if isinstance(entry, dict) else None
        image = _oci_image(members, manifest.check_digest(entry.get("digest") if isinstance(entry, dict) else None))
        if image is None:
            continue
        names = [*_names(annotations if isinstance(annotations, dict) else {}), *tags.get(image.id, ())]
        before = found[image.id].names if image.id in found else ()
        found[image.id] = _named(image, (*before, *names))
    return list(found.values())


def _oci_image(members: Members, digest: str) -> ArchivedImage | None:
    blobs: dict[str, bytes] = {}
    what = _manifest(members, digest, blobs)
    if isinstance(what, Index):
        what = _manifest(members, manifest.choose(what, manifest.host_platform()).digest, blobs)
    if not isinstance(what, Manifest):
        raise errors.BadRequest("an image index inside an index")
    body = _verified(members, what.config.digest)
    config = manifest.parse_config(body)
    if len(config.diff_ids) != len(what.layers):
        raise errors.BadRequest(
            f"image {what.config.digest}: {len(what.layers)} layers in the manifest, {len(config.diff_ids)} in the config"
        )
    return ArchivedImage(
        id=what.config.digest,
        names=(),
        digest=digest,
        config=config,
        blobs={what.config.digest: body, **blobs},
        layers=tuple(map(_oci_layer, what.layers, config.diff_ids)),
    )


def _oci_layer(layer: Descriptor, diff_id: str) -> ArchivedLayer:
    return ArchivedLayer(name=_blob_name(layer.digest), diff_id=diff_id, digest=layer.digest, size=layer.size)


def _docker(members: Members, entry: object) -> ArchivedImage:
    if not isinstance(entry, dict) or not isinstance(entry.get("Config"), str) or not isinstance(entry.get("Layers"), list):
        raise errors.BadRequest("manifest.json: an entry lacks Config or Layers")
    body = _read(members, entry["Config"])
    config = manifest.parse_config(body)
    if len(config.diff_ids) != len(entry["Layers"]):
        raise errors.BadRequest(f"{entry['Config']}: {len(entry['Layers'])} layers in the archive, {len(config.diff_ids)} in the config")
    image_id = manifest.digest(body)
    return ArchivedImage(
        id=image_id,
        names=tuple(_full(str(tag)) for tag in _list(entry.get("RepoTags"), "manifest.json: RepoTags")),
        digest="",
        config=config,
        blobs={image_id: body},
        layers=tuple(
            ArchivedLayer(name=str(name), diff_id=diff_id, digest="", size=members.size(str(name)))
            for name, diff_id in zip(entry["Layers"], config.diff_ids, strict=True)
        ),
    )


def _docker_tags(document: object) -> dict[str, list[str]]:
    """Image id -> tags of a manifest.json beside an index.json: docker >= 25 writes both."""
    found: dict[str, list[str]] = {}
    for entry in document if isinstance(document, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("Config"), str):
            image_id = "sha256:" + posixpath.basename(entry["Config"]).removesuffix(".json")
            found.setdefault(image_id, []).extend(_full(str(tag)) for tag in _list(entry.get("RepoTags"), "manifest.json: RepoTags"))
    return found


def _names(annotations: dict[str, Any]) -> list[str]:
    """A ref.name may be a bare tag ("latest"): without a repository that is no name."""
    if isinstance(full := annotations.get(_CONTAINERD_NAME), str):
        return [_full(full)]
    if isinstance(name := annotations.get(_REF_NAME), str) and ("/" in name or ":" in name):
        return [_full(name)]
    return []


def _full(name: str) -> str:
    parsed = reference.parse(name)
    return f"{parsed.name}:{parsed.tag or 'latest'}"


def _named(image: ArchivedImage, names: tuple[str, ...]) -> ArchivedImage:
    return ArchivedImage(
        id=image.id, names=tuple(dict.fromkeys(names)), digest=image.digest, config=image.config, blobs=image.blobs, layers=image.layers
    )


def _manifest(members: Members, digest: str, blobs: dict[str, bytes]) -> Manifest | Index:
    blobs[digest] = _verified(members, digest)
    return manifest.parse(blobs[digest])


def _verified(members: Members, digest: str) -> bytes:
    body = _read(members, _blob_name(digest))
    manifest.verify(body, digest, f"blob {digest}")
    return body


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{manifest.check_digest(digest).removeprefix('sha256:')}"


def _read(members: Members, name: str) -> bytes:
    with members.open(name) as file:
        body = file.read(manifest.MAX_BYTES + 1)
    if len(body) > manifest.MAX_BYTES:
        raise errors.BadRequest(f"{name} is larger than {manifest.MAX_BYTES} bytes")
    return body


def _list(value: object, what: str) -> list[Any]:
    """Nothing is an empty list. Raises: BadRequest."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise errors.BadRequest(f"{what} is not a list")
    return value


def _json(members: Members, name: str) -> object:
    try:
        document: object = json.loads(_read(members, name))
    except errors.NotFound:
        return None
    except (ValueError, RecursionError) as error:
        raise errors.BadRequest(f"{name} is not JSON") from error
    return document


def _safe(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        raise errors.BadRequest(f"{name!r} leads out of the archive")
    return name


@contextlib.contextmanager
def _decompressed(raw: io.BufferedReader) -> Iterator[IO[bytes]]:
    """``docker load`` takes compressed files and pipes too; reading by name needs a file one can seek in."""
    head = raw.peek(_MAGIC_BYTES)
    if raw.seekable() and not head.startswith((_GZIP, _ZSTD, _BZIP2, _XZ)):
        yield raw
        return
    with tempfile.TemporaryFile() as plain:
        sniffer = compression.Sniffer(lambda data: _write(plain, data))
        for chunk in _pieces(raw, head):
            sniffer.feed(chunk)
        sniffer.finish()
        plain.seek(0)
        yield plain


def _pieces(raw: io.BufferedReader, head: bytes) -> Iterator[bytes]:
    """What is in the file, without the two compressions that layers never have. Raises: BadRequest."""
    import bz2
    import lzma

    with contextlib.ExitStack() as stack:
        source: IO[bytes] = raw
        if head.startswith(_XZ):
            source = stack.enter_context(lzma.open(raw))
        elif head.startswith(_BZIP2):
            source = stack.enter_context(bz2.open(raw))
        try:
            while chunk := source.read(1 << 20):
                yield chunk
        except (lzma.LZMAError, EOFError) as error:
            raise errors.BadRequest(f"damaged data: {error}") from error


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)
