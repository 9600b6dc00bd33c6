"""The nouns of the image part: what an image is once it is on this machine.

Read by ``node`` (sizes, digests for status), ``runtime`` (config, layers) and ``cli`` (listing). Knows no registry and no folder layout.
Source: OCI image-spec config.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called on the event loop with (layer digest, compressed bytes done, total bytes or 0 when unknown). Must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The part of an image's config that decides how a container starts. ``env``: "NAME=value" each; ``exposed_ports``: "80/tcp"."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is present, complete and verified.

    id: digest of its config, "sha256:...".
    repo_tags: "docker.io/library/busybox:1.28".  repo_digests: "docker.io/library/busybox@sha256:...".
    size_bytes: manifest, config and layers as they came from the registry (compressed), as containerd counts.
    layers: unpacked folders in overlayfs form (whiteouts, opaque marks), lowest first; read-only to everybody.
    """

    id: str
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    size_bytes: int
    config: ImageConfig
    layers: tuple[Path, ...]
    created: str = ""  # RFC 3339, as the image's maker wrote it
    architecture: str = ""
