"""What the API front door asks of the lens (its ``Lens`` protocol): a Pod's JSON in, an answer's JSON out.

Made by ``daemon``. Finds the Pod's sandbox and containers in the engine; everything that reads /proc or files runs in a thread with a
limit in time, so that no container can hold up the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from podspace import errors
from podspace.kube.json import JSON
from podspace.lens import (
    audit,
    audit_images,
    audit_manifest,
    audit_probe,
    audit_running,
    changes,
    files,
    model,
    present,
    processes,
    signals,
    why,
)
from podspace.linux import cgroups, idmap, procfs
from podspace.oci import capabilities
from podspace.runtime import ports
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState, ContainerStatus

SECONDS = 15.0
KEPT_IMAGES = 256

Seen = TypeVar("Seen")


class PodLens:
    """Fulfils ``api.lens.Lens``."""

    def __init__(self, engine: Engine, images: ports.Images, *, seccomp_profiles: Path) -> None:
        self._engine = engine
        self._seccomp_profiles = seccomp_profiles
        self._images = images
        self._cgroups = cgroups.detect()
        self._memory = processes.Memory()
        self._facts: dict[str, audit_manifest.ImageFacts] = {}

    async def processes(self, pod: JSON, *, threads: bool, namespaces: bool) -> JSON:
        handle = self._handle(pod)
        census = await _in_thread(lambda: self._census(handle, threads=threads, namespaces=namespaces))
        return present.processes(census)

    def _census(self, handle: model.PodHandle, *, threads: bool = False, namespaces: bool = False) -> model.Census:
        return processes.census(handle, self._cgroups, threads=threads, namespaces=namespaces, memory=self._memory)

    async def signal(self, pod: JSON, spec: JSON) -> JSON:
        handle = self._handle(pod)
        wanted = signals.parse(spec)
        sent = await _in_thread(lambda: signals.send(self._census(handle), wanted))
        return {**present.head("PodSignal", handle), "spec": spec, "status": {"processes": sent}}

    async def files(self, pod: JSON, container: str, path: str, *, depth: int) -> JSON:
        handle, member = self._member(pod, container)
        status = await _in_thread(lambda: files.listing(member, path, depth=depth))
        return {**present.head("PodFiles", handle), "container": container, **status}

    async def content(self, pod: JSON, container: str, path: str, *, archive: bool) -> AsyncIterator[bytes]:
        _, member = self._member(pod, container)
        chunks = await _in_thread(lambda: files.archive(member, path) if archive else files.content(member, path))
        try:
            while chunk := await _in_thread(lambda: next(chunks, b"")):
                yield chunk
        finally:
            with contextlib.suppress(ValueError):  # a thread is still in it, and will end it
                chunks.close()

    async def changes(self, pod: JSON, container: str, path: str) -> JSON:
        handle, member = self._member(pod, container)
        image = self._images.find(self._engine.container(member.id).config.image)
        upper, layers = self._engine.upper(member.id), image.layers if image else ()
        status = await _in_thread(
            lambda: changes.since_image(upper, layers, changes.mount_points(member.pid), path, idmap.of_process(member.pid))
        )
        return {**present.head("PodChanges", handle), "container": container, **status}

    async def audit(self, pod: JSON) -> JSON:
        handle = self._handle(pod)
        facts = await _in_thread(lambda: self._image_facts(pod))
        status = await _in_thread(lambda: self._audited(pod, handle, facts))
        return {**present.head("PodAudit", handle), "status": status}

    def _audited(self, pod: JSON, handle: model.PodHandle, facts: Mapping[str, audit_manifest.ImageFacts]) -> JSON:
        census = self._census(handle)
        filters = {member.name: self._engine.seccomp(member.id) for member in handle.members if member.id}
        tried = audit_probe.run(census, filters)
        return audit.of_running(pod, audit_running.parties(census, filters), facts, audit_running.kernel(), tried)

    async def review(self, pod: JSON) -> JSON:
        return await _in_thread(lambda: self._reviewed(pod))

    async def why(self, pod: JSON, events: Sequence[JSON]) -> JSON:
        findings = (await self.review(pod))["findings"]
        well, text = why.explain(pod, events, findings)
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        head = {"kind": "PodDiagnosis", "apiVersion": present.API_VERSION, "metadata": metadata}
        return {**head, "status": {"ok": well, "message": text}}

    def warnings(self, pod: JSON) -> list[str]:
        if not audit_manifest.shares(pod):
            return []
        found = self._reviewed(pod)["findings"]
        return [f"{finding['field']}: {finding['message']}" for finding in found if finding["severity"] == "high"]

    def _reviewed(self, pod: JSON) -> JSON:
        return audit.of_manifest(pod, self._image_facts(pod), audit_running.kernel(), self._available(), self._own_filters(pod))

    def _own_filters(self, pod: JSON) -> dict[str, JSON]:
        """Profiles of one's own; one that cannot be read refuses nothing here, and the container will not start."""
        found: dict[str, JSON] = {}
        for placed in audit_manifest.containers(pod):
            if name := audit_manifest.own_profile(placed, pod):
                with contextlib.suppress(OSError, ValueError):
                    found[placed.name] = json.loads((self._seccomp_profiles / name).read_text())
        return found

    def _image_facts(self, pod: JSON) -> dict[str, audit_manifest.ImageFacts]:
        return {placed.name: self._facts_of(self._find(placed.raw)) for placed in audit_manifest.containers(pod)}

    def _facts_of(self, image: ports.Image | None) -> audit_manifest.ImageFacts:
        """An id never changes its content, so what was read of it is kept."""
        if image is None:
            return audit_images.facts(None)
        if image.id not in self._facts:
            if len(self._facts) >= KEPT_IMAGES:
                self._facts.clear()
            self._facts[image.id] = audit_images.facts(image)
        return self._facts[image.id]

    def _find(self, raw: JSON) -> ports.Image | None:
        try:
            return self._images.find(str(raw.get("image") or ""))
        except errors.PodspaceError:  # no image has such a name
            return None

    @staticmethod
    @functools.cache
    def _available() -> tuple[str, ...]:
        return capabilities.of_mask(procfs.capabilities("CapBnd"))

    def _member(self, pod: JSON, container: str) -> tuple[model.PodHandle, model.Member]:
        """Raises: FailedPrecondition when it does not run."""
        handle = self._handle(pod)
        member = handle.member(container)
        if member is None:
            raise errors.FailedPrecondition(f"container {container} of pod {handle.name} is not running")
        return handle, member

    def _handle(self, pod: JSON) -> model.PodHandle:
        """Raises: FailedPrecondition when nothing of the Pod runs."""
        metadata = pod["metadata"]
        found = [sandbox for sandbox in self._engine.sandboxes(uid=metadata["uid"]) if sandbox.pid]
        if not found:
            raise errors.FailedPrecondition(f"pod {metadata['name']} has no processes: nothing of it runs on this node")
        sandbox = found[-1]
        pause = model.Member(name=model.PAUSE, pid=sandbox.pid, cgroup=f"{sandbox.cgroup}/{sandbox.id}")
        running = [status for status in self._engine.containers(sandbox.id) if status.state is ContainerState.RUNNING]
        return model.PodHandle(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            pid_mode=sandbox.config.pid,
            members=(pause, *(_as_member(status) for status in running)),
        )


def _as_member(status: ContainerStatus) -> model.Member:
    return model.Member(name=status.config.name, pid=status.pid, cgroup=status.cgroup, id=status.id)


async def _in_thread(look: Callable[[], Seen]) -> Seen:
    """Raises: TimedOut."""
    try:
        async with asyncio.timeout(SECONDS):
            return await asyncio.to_thread(look)
    except TimeoutError:
        raise errors.TimedOut(f"the look into the Pod took more than {SECONDS:.0f} s") from None
