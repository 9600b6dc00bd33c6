"""The RPCs of the ImageService. An image is one entry with all its names, and is removed with all of them.

Called by ``server``, which gives every method its RPC's name. Credentials are used for the pull they
came with, and neither kept nor logged.
Source: cri-api api.proto; kubelet pkg/kubelet/images.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path

from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.cri.owned import Owned
from podspace.image import auth
from podspace.image.model import Image
from podspace.image.service import Images
from podspace.oci import users
from podspace.runtime import disk_usage
from podspace.settings import Paths, Settings

_DISK_SECONDS = 30.0


class ImageService:
    """ListImages to ImageFsInfo."""

    def __init__(self, owned: Owned, images: Images, settings: Settings) -> None:
        self._owned = owned
        self._images = images
        self._settings = settings
        self._measured: dict[Path, disk_usage.DiskUsage] = {}

    async def list_images(self, request: pb.ListImagesRequest) -> pb.ListImagesResponse:
        name = request.filter.image.image
        found = self._images.list()
        if name:
            one = self._find(name)
            found = [one] if one else []
        return pb.ListImagesResponse(images=[describe(image) for image in found])

    async def image_status(self, request: pb.ImageStatusRequest) -> pb.ImageStatusResponse:
        """Nothing in it, and no error, when the image is not here."""
        if not request.image.image:
            raise errors.BadRequest("the name of the image is empty")
        image = self._find(request.image.image)
        if image is None:
            return pb.ImageStatusResponse()
        info = {"info": json.dumps(_details(image))} if request.verbose else {}
        return pb.ImageStatusResponse(image=describe(image), info=info)

    def _find(self, name: str) -> Image | None:
        with contextlib.suppress(errors.BadRequest):  # nobody could have given it such a name
            return self._images.find(name)
        return None

    async def pull_image(self, request: pb.PullImageRequest) -> pb.PullImageResponse:
        """Cancelled: the work stops with the last who waits for it. Every runtime handler has the same images.

        Raises: BadRequest (no such runtime handler), and as ``Images.pull``. Source: KEP-4216.
        """
        handler = request.image.runtime_handler
        if handler not in self._owned.engine.runtime_handlers:
            raise errors.BadRequest(f'no runtime for "{handler}" is configured')
        image = await self._images.pull(request.image.image, credentials=credentials(request.auth))
        return pb.PullImageResponse(image_ref=image.id)

    async def remove_image(self, request: pb.RemoveImageRequest) -> pb.RemoveImageResponse:
        """What is not here is fine. Raises: FailedPrecondition while a container stands on it."""
        image = self._find(request.image.image)
        if image is not None:
            with contextlib.suppress(errors.NotFound):  # somebody else was quicker
                await self._images.remove(image.id, in_use=self._owned.engine.images_in_use())
        return pb.RemoveImageResponse()

    async def image_fs_info(self, request: pb.ImageFsInfoRequest) -> pb.ImageFsInfoResponse:
        """What a kubelet collects images by. The layers count, not what containers wrote over them."""
        paths = self._settings.paths
        return pb.ImageFsInfoResponse(
            image_filesystems=[await self._usage(paths.images)], container_filesystems=[await self._usage(paths.snapshots)]
        )

    async def _usage(self, folder: Path) -> pb.FilesystemUsage:
        known = self._measured.get(folder)
        if known is None or time.time_ns() - known.nanos > _DISK_SECONDS * 1e9:
            folder.mkdir(parents=True, exist_ok=True)
            known = self._measured[folder] = await asyncio.to_thread(disk_usage.walk, folder)
        return filesystem(self._settings.paths, folder, known)


def filesystem(paths: Paths, folder: Path, usage: disk_usage.DiskUsage) -> pb.FilesystemUsage:
    """A kubelet finds the file system by ``mountpoint``, and takes images and containers for apart where theirs differ (KEP-4191).

    So it is one folder above both, unless somebody has mounted a disk in between.
    """
    place = paths.lib if folder.exists() and folder.stat().st_dev == paths.lib.stat().st_dev else folder
    return pb.FilesystemUsage(
        timestamp=usage.nanos,
        fs_id=pb.FilesystemIdentifier(mountpoint=str(place)),
        used_bytes=pb.UInt64Value(value=usage.bytes),
        inodes_used=pb.UInt64Value(value=usage.inodes),
    )


def describe(image: Image) -> pb.Image:
    """The user of its config as a number or a name, without the group."""
    user = image.config.user.partition(":")[0]
    numeric = users.is_number(user)
    return pb.Image(
        id=image.id,
        repo_tags=image.repo_tags,
        repo_digests=image.repo_digests,
        size=image.size_bytes,
        uid=pb.Int64Value(value=int(user or 0)) if numeric or not user else None,
        username="" if numeric else user,
        spec=pb.ImageSpec(image=image.repo_tags[0] if image.repo_tags else image.id),
    )


def credentials(given: pb.AuthConfig) -> tuple[auth.Credential, ...]:
    """One, or none. Without a server address it is good for the registry of this pull, whichever it is."""
    entry = {"username": given.username, "password": given.password, "auth": given.auth}
    entry |= {"identitytoken": given.identity_token, "registrytoken": given.registry_token}
    return auth.parse_config({"auths": {given.server_address: entry}})


def _details(image: Image) -> dict[str, object]:
    config = image.config
    return {
        "imageSpec": {
            "architecture": image.architecture,
            "created": image.created,
            "config": {
                "Entrypoint": config.entrypoint,
                "Cmd": config.cmd,
                "Env": config.env,
                "User": config.user,
                "WorkingDir": config.working_dir,
                "Labels": dict(config.labels),
                "StopSignal": config.stop_signal,
            },
        }
    }
