"""Which form an answer takes: the Accept header against what is served.

Called once per request by ``dispatch`` and ``discovery``. JSON and YAML are served, protobuf only understood in bodies:
every client that prefers it also names JSON. It must not know resources.
Source: apiserver negotiation rules, as seen on the wire: the first clause that can be served wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from podspace import errors

JSON_TYPE = "application/json"
YAML_TYPE = "application/yaml"
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"

_NOT_SERVED = f"only the following media types are accepted: {JSON_TYPE}, {YAML_TYPE}, {PROTOBUF_TYPE}"
_UNKNOWN = (
    f"406: Not Acceptable\n\nAvailable representations: {JSON_TYPE}, {YAML_TYPE}, {PROTOBUF_TYPE}, "
    f"{JSON_TYPE};stream=watch, {PROTOBUF_TYPE};stream=watch"
)
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """``transform``: "" (the object itself), Table, PartialObjectMetadata or PartialObjectMetadataList."""

    yaml: bool = False
    transform: str = ""
    version: str = "v1"  # of meta.k8s.io, for transforms

    @property
    def meta_version(self) -> str:
        return f"meta.k8s.io/{self.version}"

    @property
    def table(self) -> bool:
        return self.transform == "Table"

    @property
    def partial(self) -> bool:
        return self.transform.startswith("Partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One comma-separated part of an Accept header: lower-case type, parameters as sent."""

    type: str
    parameters: dict[str, str]


def clauses(accept: str) -> list[Clause]:
    """Split an Accept header, keeping its order (weights are not honoured: Go's server does not sort either)."""
    found = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind:
            pairs = (parameter.partition("=") for parameter in parameters if "=" in parameter)
            found.append(Clause(type=kind.lower(), parameters={key.strip(): value.strip() for key, _, value in pairs}))
    return found


@lru_cache(maxsize=256)
def form(accept: str) -> Form:
    """Return the form for a resource.  Raises: NotAcceptable if no clause can be served."""
    parsed = clauses(accept)
    if not parsed:
        return Form()
    for clause in parsed:
        served = _serve(clause)
        if served is not None:
            return served
    known = any(clause.type in (JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE) for clause in parsed)
    raise errors.NotAcceptable(_NOT_SERVED if known else _UNKNOWN)


def _serve(clause: Clause) -> Form | None:
    if clause.type not in (JSON_TYPE, YAML_TYPE, "*/*", "application/*"):
        return None
    transform = clause.parameters.get("as", "")
    yaml = clause.type == YAML_TYPE
    if not transform:
        return Form(yaml=yaml)
    version = clause.parameters.get("v", "")
    if transform in _TRANSFORMS and clause.parameters.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1"):
        return Form(yaml=yaml, transform=transform, version=version)
    return None
