"""Image volumes: what of a container's images is not its root but lies beside it (KEP-4639). Pure.

They are pulled like a container's own image, by ``pulls``; the engine mounts them. Called by ``starting``.
"""

from __future__ import annotations

from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.node.pod import Container, Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVolume:
    """One volume, as ``pulls.Wanted``. ``name`` tells it from what other containers pull."""

    volume: str
    name: str
    image: str
    pull_policy: str
    container_path: str

    @property
    def field_path(self) -> str:
        return ""


def used_by(pod: Pod, container: Container) -> tuple[ImageVolume, ...]:
    """The image volumes a container mounts, each once."""
    mounted = {mount["name"] for mount in container.raw.get("volumeMounts") or ()}
    volumes = [volume for volume in pod.spec.get("volumes") or () if "image" in volume and volume["name"] in mounted]
    return tuple(_image_volume(container, volume) for volume in volumes)


def _image_volume(container: Container, volume: JSON) -> ImageVolume:
    source = volume["image"] or {}
    return ImageVolume(
        volume=volume["name"],
        name=f"{container.name} {volume['name']}",
        image=source.get("reference") or "",
        pull_policy=source.get("pullPolicy") or "IfNotPresent",
        container_path=container.field_path,
    )
