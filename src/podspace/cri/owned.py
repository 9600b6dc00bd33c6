"""The engine as this front door may see it: its own sandboxes and containers, by id or by an unambiguous beginning of one.

Called by the RPCs. The API front door's sandboxes are NotFound here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from podspace import errors
from podspace.runtime import engine as engine_module
from podspace.runtime import model

OWNER = "cri"
Found = TypeVar("Found", model.SandboxStatus, model.ContainerStatus)


class Owned:
    """A view, not a copy."""

    def __init__(self, engine: engine_module.Engine) -> None:
        self.engine = engine

    def sandboxes(self) -> list[model.SandboxStatus]:
        """Oldest first."""
        return self.engine.sandboxes(owner=OWNER)

    def containers(self) -> list[model.ContainerStatus]:
        """Oldest first."""
        return self.engine.containers(owner=OWNER)

    def sandbox(self, identifier: str) -> model.SandboxStatus:
        """Raises: NotFound, BadRequest."""
        if self.engine.owner(identifier) == OWNER:  # a kubelet gives whole ids, and asks for every Pod
            return self.engine.sandbox(identifier)
        return self._one("sandbox", identifier, self.sandboxes())

    def container(self, identifier: str) -> model.ContainerStatus:
        """Raises: NotFound, BadRequest."""
        with contextlib.suppress(errors.NotFound):
            found = self.engine.container(identifier)
            if self.engine.owner(found.sandbox_id) == OWNER:
                return found
        return self._one("container", identifier, self.containers())

    def find_sandbox(self, identifier: str) -> model.SandboxStatus | None:
        """None when it is gone: stopping and removing what is gone succeeds. Raises: BadRequest."""
        try:
            return self.sandbox(identifier)
        except errors.NotFound:
            return None

    def find_container(self, identifier: str) -> model.ContainerStatus | None:
        """None when it is gone. Raises: BadRequest."""
        try:
            return self.container(identifier)
        except errors.NotFound:
            return None

    @staticmethod
    def _one(kind: str, identifier: str, candidates: Sequence[Found]) -> Found:
        if not identifier:
            raise errors.BadRequest(f"the id of the {kind} is empty")
        found = starting_with(identifier, candidates)
        if not found:
            raise errors.NotFound(f'{kind} "{identifier}" not found', resource=f"{kind}s", name=identifier)
        if len(found) > 1:
            raise errors.BadRequest(f'"{identifier}" is the beginning of {len(found)} ids; give more of it')
        return found[0]


def starting_with(identifier: str, candidates: Iterable[Found]) -> list[Found]:
    """The one with exactly this id, else those whose id begins so."""
    found = [candidate for candidate in candidates if candidate.id.startswith(identifier)]
    return [candidate for candidate in found if candidate.id == identifier] or found
