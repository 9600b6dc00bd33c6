"""The lens on the API: what the group ``lens.podspace.io`` asks of whoever can look into running Pods, and the handlers that ask it.

``lens`` fulfils the protocol (structurally), ``daemon`` joins the two; ``dispatch`` calls the handlers. Paths are those of Pods:
``/apis/lens.podspace.io/v1/namespaces/N/pods/P/processes``. Nothing of it is stored.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from aiohttp import web

from podspace import errors
from podspace.api import containers
from podspace.api.call import Call
from podspace.kube import resources
from podspace.kube.json import JSON


class Lens(Protocol):
    """Answers about Pods. Objects are those of the store: read only.  All raise FailedPrecondition when nothing of the Pod runs."""

    async def processes(self, pod: JSON, *, threads: bool, namespaces: bool) -> JSON:
        """``PodProcesses``; with ``namespaces`` also those a process does not share with its container's main one."""

    async def signal(self, pod: JSON, spec: JSON) -> JSON:
        """``PodSignal`` with its status.  Raises: BadRequest, NotFound, Forbidden."""

    async def files(self, pod: JSON, container: str, path: str, *, depth: int) -> JSON:
        """``PodFiles``: what is at and below a path.  Raises: NotFound."""

    def content(self, pod: JSON, container: str, path: str, *, archive: bool) -> AsyncIterator[bytes]:
        """A plain file's bytes, or a tar of a file or folder. Errors (NotFound) come with the first item."""

    async def changes(self, pod: JSON, container: str, path: str) -> JSON:
        """``PodChanges``: what is not as in the image."""

    async def audit(self, pod: JSON) -> JSON:
        """``PodAudit`` of what runs: computed, and tried."""

    async def review(self, pod: JSON) -> JSON:
        """The status of a ``PodAudit`` for a manifest: computed."""

    async def why(self, pod: JSON, events: Sequence[JSON]) -> JSON:
        """``PodDiagnosis``: one paragraph. ``events``: those about the Pod. Works for Pods that do not run."""

    def warnings(self, pod: JSON) -> list[str]:
        """What the creator of a Pod should hear at once."""


async def processes(call: Call) -> web.StreamResponse:
    """GET ``pods/X/processes?threads=true&namespaces=true``."""
    flag = call.query.flag
    return call.answer(await _lens(call).processes(call.existing(), threads=flag("threads"), namespaces=flag("namespaces")))


async def signal(call: Call) -> web.StreamResponse:
    """POST ``pods/X/signal`` with ``{"spec": {"signal": "HUP", "container": "nginx", "process": "", "evenPause": false}}``."""
    pod = call.existing()
    return call.answer(await _lens(call).signal(pod, await _spec(call)), code=201)


async def files(call: Call) -> web.StreamResponse:
    """GET ``pods/X/files?container=c&path=/etc&depth=1``."""
    pod, container, path = _addressed(call)
    depth = call.query.integer("depth")
    return call.answer(await _lens(call).files(pod, container, path, depth=1 if depth is None else depth))


async def changes(call: Call) -> web.StreamResponse:
    """GET ``pods/X/changes?container=c&path=/``."""
    pod, container, path = _addressed(call)
    return call.answer(await _lens(call).changes(pod, container, path))


async def content(call: Call) -> web.StreamResponse:
    """GET ``pods/X/content?container=c&path=/etc/hosts&archive=false``: the bytes."""
    pod, container, path = _addressed(call)
    chunks = _lens(call).content(pod, container, path, archive=call.query.flag("archive"))
    async with contextlib.AsyncExitStack() as stack:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            stack.push_async_callback(close)
        first = await anext(chunks, b"")  # what goes wrong before the first byte can still be a Status
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream", "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(call.http)
        with contextlib.suppress(ConnectionResetError):
            if first:
                await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
        return response


async def audit(call: Call) -> web.StreamResponse:
    """GET ``pods/X/audit``."""
    return call.answer(await _lens(call).audit(call.existing()))


async def why(call: Call) -> web.StreamResponse:
    """GET ``pods/X/why``."""
    pod = call.existing()
    events, _ = call.store.list("events", call.target.namespace)
    about = [event for event in events if (event.get("involvedObject") or {}).get("uid") == pod["metadata"]["uid"]]
    return call.answer(await _lens(call).why(pod, about))


async def review(call: Call) -> web.StreamResponse:
    """POST ``podaudits`` with ``{"spec": {"pod": {...}}}``: a manifest that need not be stored.  Raises: BadRequest."""
    from podspace.kube import decode, defaults

    given = (await _spec(call)).get("pod")
    if not isinstance(given, dict) or given.get("kind") != "Pod":
        raise errors.BadRequest("spec.pod: expected a Pod")
    pod = decode.decode(json.dumps(given).encode(), "application/json", resources.PODS).obj
    defaults.apply("Pod", pod)
    head = {"kind": "PodAudit", "apiVersion": call.target.resource.api_version, "metadata": {}}
    return call.answer({**head, "spec": {"pod": given}, "status": await _lens(call).review(pod)}, code=201)


def _addressed(call: Call) -> tuple[JSON, str, str]:
    """Raises: BadRequest (which container?), NotFound."""
    pod = call.existing()
    return pod, containers.choose(pod, call.query.get("container")), call.query.get("path") or "/"


def _lens(call: Call) -> Lens:
    """Raises: Unsupported on a server that runs no Pods."""
    if call.services.lens is None:
        raise errors.Unsupported("this server has no lens")
    return call.services.lens


async def _spec(call: Call) -> JSON:
    """Raises: BadRequest unless the body is a JSON object with a ``spec``."""
    try:
        body = json.loads(await call.body())
    except ValueError as error:
        raise errors.BadRequest(f"the body is not JSON: {error}") from None
    spec = body.get("spec") if isinstance(body, dict) else None
    if not isinstance(spec, dict):
        raise errors.BadRequest("the body has no spec")
    return spec
