"""What every part of the node agent is given: the other floors, and the facts about this machine."""

from __future__ import annotations

from dataclasses import dataclass

from podspace import tokens
from podspace.image.service import Images
from podspace.kube.json import JSON
from podspace.node import admission
from podspace.node.backoff import Backoff
from podspace.node.fieldpath import NodeFacts
from podspace.node.recorder import Recorder
from podspace.runtime.engine import Engine
from podspace.settings import Settings
from podspace.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """Built once by ``daemon``; the back-offs are shared so that they outlive a Pod's worker."""

    settings: Settings
    store: Store
    engine: Engine
    images: Images
    recorder: Recorder
    facts: NodeFacts
    crashes: Backoff
    pulls: Backoff
    signer: tokens.Signer
    policy: admission.Policy

    def lookup(self, resource: str, namespace: str, name: str) -> JSON | None:
        return self.store.get(resource, namespace, name)
