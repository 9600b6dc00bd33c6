"""What a registry says an image is made of: manifests, indexes, configs, of OCI and of Docker (v2 schema 2).

Called by ``image.service`` and ``image.archive`` with bytes whose digest was verified. Pure.
Source: OCI image-spec (manifest.md, image-index.md, config.md); distribution manifest-v2-2.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from podspace import errors
from podspace.image.model import ImageConfig

JSON: TypeAlias = Mapping[str, Any]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))
MAX_BYTES = 8 << 20  # a manifest or config beyond this is not one

_CONFIG_TYPES = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return f"linux/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Points at content. ``os``/``platform`` are None where nothing is said."""

    media_type: str
    digest: str
    size: int
    os: str | None = None
    platform: Platform | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image: its config and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The same image for several platforms."""

    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A config blob: how to start, and the digests of the layers' tars, lowest first."""

    image: ImageConfig
    diff_ids: tuple[str, ...]
    created: str
    architecture: str


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def verify(data: bytes, expected: str, what: str) -> None:
    """Raises: FailedPrecondition when ``data`` is not what ``expected`` names."""
    actual = digest(data)
    if actual != expected:
        raise errors.FailedPrecondition(f"{what}: unexpected digest {actual}, expected {expected}")


def host_platform() -> Platform:
    """The platform of this machine."""
    machine = platform.machine()
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform(architecture=architecture, variant=variant)


def parse(body: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; the body's own mediaType wins over the transport's. Raises: BadRequest."""
    document = _document(body, "manifest")
    kind = document.get("mediaType") or media_type.partition(";")[0].strip()
    if document.get("schemaVersion") != 2:
        raise errors.BadRequest(f"unsupported manifest: schemaVersion {document.get('schemaVersion')!r}, mediaType {kind!r}")
    if kind in (OCI_INDEX, DOCKER_LIST) or ("manifests" in document and "layers" not in document):
        return Index(manifests=tuple(_descriptor(each) for each in _sequence(document, "manifests")))
    return _manifest(document)


def choose(index: Index, wanted: Platform) -> Descriptor:
    """Return the manifest for ``wanted``. Raises: NotFound, naming what there is."""
    ranked = [(rank, each) for each in index.manifests if (rank := _rank(each, wanted)) is not None]
    if not ranked:
        there = sorted({str(each.platform) for each in index.manifests if each.platform and each.os == "linux"})
        raise errors.NotFound(f"no match for platform {wanted} in manifest (there is {', '.join(there) or 'nothing for linux'}): not found")
    return min(ranked, key=lambda pair: pair[0])[1]


def parse_config(body: bytes) -> Config:
    """Read a config blob. Raises: BadRequest."""
    document = _document(body, "image config")
    if (os := document.get("os") or "linux") != "linux":
        raise errors.BadRequest(f"the image is for {os}, not for linux")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in diff_ids):
        raise errors.BadRequest("image config: rootfs.diff_ids is not a list of sha256 digests")
    return Config(
        image=_image_config(document.get("config")),
        diff_ids=tuple(diff_ids),
        created=str(document.get("created") or ""),
        architecture=str(document.get("architecture") or ""),
    )


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """Name each layer together with all below it. Source: image-spec config.md, "Layer ChainID"."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def is_digest(value: object) -> bool:
    """Whether ``value`` is a digest we can verify."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def check_digest(value: object) -> str:
    """Return ``value`` if it is a digest we can verify. Raises: BadRequest. Guards every use of a digest in a path."""
    if not isinstance(value, str) or not is_digest(value):
        raise errors.BadRequest(f"unsupported digest {value!r}: only sha256 is")
    return value


def _document(body: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.BadRequest(f"{what} is not JSON") from error
    if not isinstance(document, dict):
        raise errors.BadRequest(f"{what} is not a JSON object")
    return document


def _manifest(document: JSON) -> Manifest:
    config = _descriptor(document.get("config"))
    if config.media_type not in _CONFIG_TYPES:
        raise errors.BadRequest(f"not a container image: its config is {config.media_type!r}")
    layers = tuple(_descriptor(each) for each in _sequence(document, "layers"))
    for layer in layers:
        if "foreign" in layer.media_type or "tar" not in layer.media_type:
            raise errors.BadRequest(f"layer {layer.digest}: unsupported media type {layer.media_type!r}")
    return Manifest(config=config, layers=layers)


def _sequence(document: JSON, key: str) -> Iterable[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise errors.BadRequest(f"manifest: {key} is not a list")
    return value


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise errors.BadRequest("manifest: a descriptor is not an object")
    size = value.get("size")
    if not isinstance(size, int) or size < 0:
        raise errors.BadRequest(f"manifest: size {size!r} of {value.get('digest')!r}")
    where = value.get("platform")
    where = where if isinstance(where, dict) else None
    return Descriptor(
        media_type=str(value.get("mediaType") or ""),
        digest=check_digest(value.get("digest")),
        size=size,
        os=str(where.get("os") or "") if where else None,
        platform=Platform(architecture=str(where.get("architecture") or ""), variant=str(where.get("variant") or "")) if where else None,
    )


def _rank(descriptor: Descriptor, wanted: Platform) -> int | None:
    """0 is best; None does not fit. A manifest without a platform fits when nothing better does."""
    if descriptor.platform is None:
        return 100 if descriptor.media_type in (OCI_MANIFEST, DOCKER_MANIFEST) else None
    if descriptor.os != "linux" or descriptor.platform.architecture != wanted.architecture:
        return None
    have, want = _version(descriptor.platform), _version(wanted)
    return None if have > want else want - have


def _version(of: Platform) -> int:
    """Variants are levels of one instruction set: an ARMv7 runs v6 code; amd64 without variant is v1."""
    number = of.variant.removeprefix("v")
    default = {"arm": 7, "arm64": 8}.get(of.architecture, 1)
    return int(number) if re.fullmatch(r"[0-9]{1,9}", number) else default


def _image_config(value: object) -> ImageConfig:
    fields: dict[str, Any] = value if isinstance(value, dict) else {}
    labels = fields.get("Labels")
    return ImageConfig(
        entrypoint=_strings(fields.get("Entrypoint")),
        cmd=_strings(fields.get("Cmd")),
        env=_strings(fields.get("Env")),
        user=str(fields.get("User") or ""),
        working_dir=str(fields.get("WorkingDir") or ""),
        stop_signal=str(fields.get("StopSignal") or ""),
        labels={str(key): str(text) for key, text in labels.items()} if isinstance(labels, dict) else {},
        volumes=_strings(fields.get("Volumes")),
        exposed_ports=_strings(fields.get("ExposedPorts")),
    )


def _strings(value: object) -> tuple[str, ...]:
    """A list, or the keys of an object (Volumes, ExposedPorts). A bare string is an old shell-form Entrypoint."""
    if isinstance(value, str):
        return ("/bin/sh", "-c", value)
    return tuple(str(each) for each in value) if isinstance(value, (list, dict)) else ()
