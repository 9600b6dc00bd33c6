"""What the engine needs from ``image`` and ``network``, so that either can be another (a fake, CNI)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from podspace.network.attachment import Attachment


class ImageConfig(Protocol):
    """The part of an image's config that decides how a container starts. ``env``: "NAME=value" each, or pairs."""

    @property
    def entrypoint(self) -> Sequence[str]: ...
    @property
    def cmd(self) -> Sequence[str]: ...
    @property
    def env(self) -> Sequence[str] | Sequence[tuple[str, str]]: ...
    @property
    def user(self) -> str: ...
    @property
    def working_dir(self) -> str: ...
    @property
    def stop_signal(self) -> str: ...


class Image(Protocol):
    """An image that is present. ``layers`` are unpacked folders, lowest first."""

    @property
    def id(self) -> str: ...
    @property
    def config(self) -> ImageConfig: ...
    @property
    def layers(self) -> Sequence[Path]: ...


class Images(Protocol):
    """Where images are looked up."""

    def find(self, reference: str, /) -> Image | None:
        """By id or reference."""


class Network(Protocol):
    """What gives a sandbox its addresses."""

    async def attach(self, wanted: Attachment, /) -> tuple[str, ...]:
        """Configure the netns of the sandbox, lead its ports of the host there; return its addresses, the first one first."""

    def takes_long(self, owner: str, /) -> bool:
        """Whether the next sandbox of this front door is attached later than a process is started, if both begin at once."""

    async def detach(self, sandbox_id: str, /) -> None:
        """Take all of it back. Not attached: fine."""

    async def recover(self, live: Sequence[Attachment], /) -> None:
        """Adopt what these sandboxes have, remove the rest."""

    async def problem(self, owner: str, /) -> str:
        """Why a sandbox of this front door cannot be attached just now, "" if it can."""

    async def run(self) -> None:
        """Notice when that changes, and tell ``on_change``, until cancelled. May end where nothing can change."""

    def on_change(self, listener: Callable[[], None], /) -> None:
        """Have ``listener`` called when what ``problem`` says may be another."""

    def use_pod_cidr(self, text: str, /) -> None:
        """What somebody above (a kubelet) says the Pods' addresses are, for networks that let themselves be told."""
