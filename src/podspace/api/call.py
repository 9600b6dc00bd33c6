"""One request on its way: what was asked, by whom, and how to answer in the form that was asked for.

Made by ``dispatch``, handed to every handler. ``Services`` is what handlers share: the store, the side that runs Pods, the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from podspace import errors
from podspace.aio.sessions import Sessions
from podspace.api import respond, shape
from podspace.api.backend import Backend
from podspace.api.identity import Identity
from podspace.api.negotiate import Form
from podspace.api.query import Query
from podspace.api.routes import Target
from podspace.api.snapshots import Snapshots
from podspace.api.strategy import Strategy
from podspace.api.streams import OpenStreams
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.store.store import Store
from podspace.tokens import Signer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podspace.api.lens import Lens
    from podspace.api.metrics import Sampler
    from podspace.api.quota_keeper import QuotaKeeper

BODY_LIMIT_BYTES = 3 * 1024 * 1024
_BROWSERS = ("curl/", "Wget/", "Mozilla/")  # who reads with the eye gets pretty print


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What lives as long as the server. ``now``: Unix seconds."""

    store: Store
    backend: Backend
    now: Callable[[], float]
    streams: OpenStreams
    snapshots: Snapshots
    quotas: QuotaKeeper
    lens: Lens | None = None
    sampler: Sampler | None = None
    tokens: Signer | None = None
    sessions: Sessions = field(default_factory=Sessions)  # exec, attach, port-forward, logs

    def timestamp(self) -> str:
        """Now, as objects have it."""
        return times.rfc3339(self.now())


@dataclass(slots=True, kw_only=True)
class Call:
    """A resource request. ``warnings`` collects what goes out as Warning headers."""

    http: web.Request
    services: Services
    target: Target
    strategy: Strategy
    query: Query
    form: Form
    identity: Identity
    warnings: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def path(self) -> tuple[str, str, str]:
        """Where the object is in the store."""
        return self.strategy.key, self.target.namespace, self.target.name

    def existing(self) -> JSON:
        """The object of this path, as stored.  Raises: NotFound."""
        obj = self.store.get(*self.path)
        if obj is None:
            resource = self.target.resource
            raise errors.NotFound.of(resource.plural, self.target.name, group=resource.group)
        return obj

    @property
    def content_type(self) -> str:
        """Lower case, without parameters; "" if there is none."""
        return self.http.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """Read the body.  Raises: TooLarge above 3 MiB."""
        return await read_body(self.http)

    def answer(self, value: JSON, *, code: int = 200) -> web.Response:
        """Send a JSON object as it is, or as YAML."""
        payload = respond.body(value, pretty=self.pretty, yaml=self.form.yaml)
        return self.send(payload, code=code)

    @property
    def takes_as_stored(self) -> bool:
        """The client wants an object as the store holds it, so the JSON made when it was written will do."""
        return self.strategy.serves_as_stored and not self.form.transform and not self.form.yaml and not self.pretty

    def answer_stored(self, stored: JSON, *, code: int = 200) -> web.Response:
        """Send an object of this path's kind, given as stored, in the form asked for."""
        if self.takes_as_stored:
            metadata = stored["metadata"]
            entry = self.store.entry(self.strategy.key, metadata.get("namespace") or "", metadata["name"])
            if entry is not None and entry.obj is stored:
                return self.send(entry.encoded + b"\n", code=code)
        return self.answer(shape.one(self, stored), code=code)

    def send(self, payload: bytes, *, code: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        """Send bytes that are in the form asked for already."""
        kind = "application/yaml" if self.form.yaml else "application/json"
        return respond.response(
            payload, code=code, content_type=kind, headers=headers, warnings=self.warnings, gzip=accepts_gzip(self.http)
        )

    @property
    def pretty(self) -> bool:
        """``?pretty=true``, or a program whose user reads with the eye."""
        asked = self.query.get("pretty")
        if asked:
            return self.query.flag("pretty")
        return self.http.headers.get("User-Agent", "").startswith(_BROWSERS)


def accepts_gzip(http: web.BaseRequest) -> bool:
    return "gzip" in http.headers.get("Accept-Encoding", "")


async def read_body(http: web.BaseRequest) -> bytes:
    """Read a request's body whole.  Raises: TooLarge above 3 MiB."""
    if (http.content_length or 0) > BODY_LIMIT_BYTES:
        raise _too_large()
    pieces, size = [], 0
    while piece := await http.content.readany():
        size += len(piece)
        if size > BODY_LIMIT_BYTES:
            raise _too_large()
        pieces.append(piece)
    return b"".join(pieces)


def _too_large() -> errors.TooLarge:
    return errors.TooLarge(f"Request entity too large: limit is {BODY_LIMIT_BYTES}")
