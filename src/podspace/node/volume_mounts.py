"""What each of a container's volume mounts shows: a volume's folder, a part of one, or what an image holds.

Called by ``starting`` once the volumes are there and the variables known; ``configs`` makes the engine's mounts of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podspace.image.model import Image
from podspace.node import subpaths
from podspace.node.environment import ConfigError
from podspace.node.pod import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A host path; or an image's id, how the user spelt it, and the folder in it."""

    path: Path = Path("/")
    image: str = ""
    image_reference: str = ""
    image_sub_path: str = ""


async def sources(
    home: Path, container: Container, volumes: Mapping[str, Path], images: Mapping[str, Image], variables: Mapping[str, str]
) -> list[Source]:
    """One for each volume mount, in their order. ``home``: the Pod's folder; ``volumes``, ``images``: by volume.  Raises: ConfigError."""
    names = [mount["name"] for mount in container.raw.get("volumeMounts") or ()]
    if lacking := [name for name in names if name not in volumes and name not in images]:
        raise ConfigError(f'cannot find volume "{lacking[0]}" to mount into container "{container.name}"')
    parts = subpaths.wanted(container, variables)
    on_host = {index: part for index, part in parts.items() if names[index] in volumes}
    bound = await asyncio.to_thread(subpaths.bind, home, container, volumes, on_host) if on_host else {}
    return [
        Source(path=bound.get(index, volumes[name])) if name in volumes else _of_image(images[name], parts.get(index, ""))
        for index, name in enumerate(names)
    ]


def _of_image(image: Image, part: str) -> Source:
    return Source(image=image.id, image_reference=next(iter(image.repo_tags), image.id), image_sub_path=part)
