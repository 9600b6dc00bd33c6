"""labelSelector and fieldSelector of a request, parsed once and asked of each object.

Called by ``api`` for lists, watches and deletecollection. The language of labels is in ``selectors_labels``; fields have only ``=``,
``==`` and ``!=``, and each resource says which it knows. Error texts are the API server's.
Source: k8s.io/apimachinery labels and fields; field labels of Kubernetes 1.36 as observed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from podspace import errors
from podspace.kube.json import JSON
from podspace.kube.resources import Resource
from podspace.kube.selectors_labels import Requirement as Requirement
from podspace.kube.selectors_labels import Selector as Selector
from podspace.kube.selectors_labels import parse as _parse_labels

_Getter = Callable[[JSON], str]
_TERM = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTerm:
    """``field=value``, or ``field!=value`` when not ``equal``."""

    field: str
    equal: bool
    value: str
    get: _Getter

    def matches(self, obj: JSON) -> bool:
        return (self.get(obj) == self.value) == self.equal


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold. Falsy when there are none."""

    terms: tuple[FieldTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, obj: JSON) -> bool:
        return all(term.matches(obj) for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The one value a field must have, None if the selector does not say."""
        return next((term.value for term in self.terms if term.equal and term.field == field), None)


def parse_labels(text: str) -> Selector:
    """``a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1``.  Raises: BadRequest."""
    return _parse_labels(text)


def parse_fields(resource: Resource, text: str) -> FieldSelector:
    """``status.phase=Running,spec.nodeName!=``; ``\\\\``, ``\\,`` and ``\\=`` stand for themselves in values.  Raises: BadRequest."""
    split = [_split(text, term) for term in sorted(_split_terms(text)) if term]
    return FieldSelector(tuple(_term(resource, *parts) for parts in split))


def _split_terms(text: str) -> list[str]:
    """At commas that no backslash precedes."""
    return re.findall(r"((?:\\.|[^,\\]|\\$)*)(?:,|$)", text, re.DOTALL)[:-1] if text else []


def _split(text: str, term: str) -> tuple[str, bool, str]:
    parts = _TERM.fullmatch(term)
    if not parts:
        raise errors.BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
    return parts[1], parts[2] != "!=", _unescaped(parts[3])


def _unescaped(value: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[0] in (",", "="):
            raise errors.BadRequest(f"invalid field selector: unescaped character in value: {ord(found[0])}")
        if found[0][1:] not in ("\\", ",", "="):
            raise errors.BadRequest(f"invalid field selector: invalid escape sequence: {found[0]}")
        return found[0][1]

    return re.sub(r"\\.?|,|=", plain, value, flags=re.DOTALL)


def _term(resource: Resource, field: str, equal: bool, value: str) -> FieldTerm:
    known = _FIELDS.get(resource.qualified)
    field = _ALIASES.get((resource.qualified, field), field)
    get = (known or _GENERIC).get(field)
    if get is None and known is None:
        raise errors.BadRequest(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    if get is None:
        raise errors.BadRequest(f"field label not supported: {field}")
    return FieldTerm(field=field, equal=equal, value=value, get=get)


def _at(path: str) -> _Getter:
    """The text at a dotted path, "" if there is none."""
    *parents, last = path.split(".")

    def get(obj: JSON) -> str:
        node: Any = obj
        for part in parents:
            node = node.get(part) or {}
        return str(node.get(last) or "")

    return get


def _flag(path: str) -> _Getter:
    text = _at(path)
    return lambda obj: "true" if text(obj) else "false"


def _either(*paths: str) -> _Getter:
    """The first that is not empty."""
    getters = [_at(path) for path in paths]
    return lambda obj: next(filter(None, (get(obj) for get in getters)), "")


def _paths(*paths: str) -> dict[str, _Getter]:
    return {path: _at(path) for path in paths}


_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_GENERIC = _paths("metadata.name", "metadata.namespace")
_EVENTS: dict[str, _Getter] = {
    **_GENERIC,
    **_paths("reason", "type"),
    "reportingComponent": _either("reportingComponent", "reportingController"),
    "source": _either("source.component", "deprecatedSource.component", "reportingComponent", "reportingController"),
    **{f"involvedObject.{member}": _either(f"involvedObject.{member}", f"regarding.{member}") for member in _REFERENCE},
}

# By qualified resource; a resource that is not here has the generic two. "Not supported" and "not known" are different sentences.
_FIELDS: Mapping[str, Mapping[str, _Getter]] = {
    "pods": {
        **_GENERIC,
        **_paths("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        **_paths("status.phase", "status.podIP", "status.nominatedNodeName"),
        "spec.hostNetwork": _flag("spec.hostNetwork"),
        "status.podIPs": lambda obj: "",  # accepted, but no object has a value for it
    },
    "events": _EVENTS,
    "events.events.k8s.io": _EVENTS,
    "nodes": {**_paths("metadata.name"), "spec.unschedulable": _flag("spec.unschedulable")},
    "namespaces": _paths("metadata.name", "status.phase"),
    "secrets": {**_GENERIC, **_paths("type")},
    "services": {**_GENERIC, **_paths("spec.clusterIP", "spec.type")},
}

_ALIASES: Mapping[tuple[str, str], str] = {
    ("pods", "spec.host"): "spec.nodeName",
    ("events.events.k8s.io", "reportingController"): "reportingComponent",
    **{("events.events.k8s.io", f"regarding.{member}"): f"involvedObject.{member}" for member in _REFERENCE},
}
