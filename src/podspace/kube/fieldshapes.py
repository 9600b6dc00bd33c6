"""What of an object can have an owner of its own: fields of structs, entries of maps, elements of lists that have keys.

The rest is atomic: whoever owns it owns it whole. Read by ``fieldwalk``. Types and fields come from ``schema``; which lists are maps or
sets, and which structs are one value, is said here.
Source: x-kubernetes-list-type, -list-map-keys and -map-type of the API types of Kubernetes 1.36, as /openapi/v2 publishes them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from podspace.kube import schema

_CONTAINER = {"env": ("name",), "ports": ("containerPort", "protocol"), "volumeDevices": ("devicePath",), "volumeMounts": ("mountPath",)}
_CONDITIONS = {"conditions": ("type",)}

KEYED_LISTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Container": _CONTAINER,
    "ContainerStatus": {"allocatedResourcesStatus": ("name",), "volumeMounts": ("mountPath",)},
    "EphemeralContainer": _CONTAINER,
    "LimitRangeSpec": {},
    "NamespaceStatus": _CONDITIONS,
    "NodeStatus": {"addresses": ("type",), **_CONDITIONS},
    "ObjectMeta": {"ownerReferences": ("uid",)},
    "PersistentVolumeClaimStatus": _CONDITIONS,
    "PodSpec": {
        "containers": ("name",),
        "ephemeralContainers": ("name",),
        "hostAliases": ("ip",),
        "imagePullSecrets": ("name",),
        "initContainers": ("name",),
        "resourceClaims": ("name",),
        "schedulingGates": ("name",),
        "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
        "volumes": ("name",),
    },
    "PodStatus": {**_CONDITIONS, "podIPs": ("ip",), "resourceClaimStatuses": ("name",)},
    "ResourceRequirements": {"claims": ("name",)},
    "ResourceStatus": {"resources": ("resourceID",)},
    "ServiceAccount": {"secrets": ("name",)},
    "ServiceSpec": {"ports": ("port", "protocol")},
    "ServiceStatus": _CONDITIONS,
}
_SETS = frozenset({("ObjectMeta", "finalizers"), ("NodeSpec", "podCIDRs"), ("ContainerRestartRuleOnExitCodes", "values")})
_ATOMIC_MAPS = frozenset({("PodSpec", "nodeSelector"), ("ServiceSpec", "selector"), ("Scheduling", "nodeSelector")})
_ATOMIC_STRUCTS = frozenset({
    "ConfigMapKeySelector", "FileKeySelector", "LabelSelector", "LocalObjectReference", "NodeSelector", "NodeSelectorTerm",
    "ObjectFieldSelector", "ObjectReference", "OwnerReference", "ResourceFieldSelector", "ScopeSelector", "SecretKeySelector",
    "SecretReference", "TopologySelectorTerm", "TypedLocalObjectReference",
})  # fmt: skip
_KEY_DEFAULTS = {"protocol": "TCP"}
_GRANULAR = frozenset({("PersistentVolumeSpec", "claimRef")})

Kind = Literal["leaf", "struct", "map", "keyed", "set"]


class NoKey(Exception):
    """An element of a keyed list lacks a key; ``args``: its place, the key."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``model``: of a struct; ``element``: of what a map or list holds; ``keys``: what tells a keyed list's elements apart."""

    kind: Kind
    model: str = ""
    element: Shape | None = None
    keys: tuple[str, ...] = ()
    type: schema.Type | None = None


def of(model: str) -> Shape:
    """A whole object."""
    return Shape("struct", model)


@functools.cache
def members(model: str) -> Mapping[str, tuple[str, Shape]]:
    """Field -> (its label in a set, its shape)."""
    return {name: (f"f:{name}", _shape(model, name, field.type)) for name, field in schema.fields(model).items()}


def _shape(model: str, name: str, kind: schema.Type) -> Shape:
    keys = KEYED_LISTS.get(model, {}).get(name)
    if kind.shape.startswith(schema.LIST):
        if keys:
            return Shape("keyed", element=_plain(kind.element), keys=tuple(sorted(keys)), type=kind)
        return Shape("set" if (model, name) in _SETS else "leaf", type=kind)
    if kind.is_model and (model, name) in _GRANULAR:
        return Shape("struct", kind.base, type=kind)
    return Shape("leaf", type=kind) if (model, name) in _ATOMIC_MAPS else _plain(kind)


def _plain(kind: schema.Type) -> Shape:
    if kind.shape.startswith(schema.MAP):
        return Shape("map", element=_plain(kind.element), type=kind)
    if kind.is_model and kind.base not in _ATOMIC_STRUCTS:
        return Shape("struct", kind.base, type=kind)
    return Shape("leaf", type=kind)


_VALUE = Shape("leaf")


def children(shape: Shape, value: Any) -> Iterator[tuple[str, Shape, Any]]:
    """(label, shape, value) of everything directly below; null and leaves have nothing.  Raises: NoKey."""
    if not value:
        return
    if shape.kind == "struct":
        known = members(shape.model)
        for name, item in value.items():
            if name in known:
                label, child = known[name]
                yield label, child, item
    elif shape.kind == "map":
        assert shape.element is not None
        for key, item in value.items():
            yield f"f:{key}", shape.element, item
    elif shape.kind == "keyed":
        assert shape.element is not None
        for place, item in enumerate(value):
            yield key_label(shape, item, place), shape.element, item
    elif shape.kind == "set":
        for item in value:
            yield f"v:{json.dumps(item, ensure_ascii=False)}", _VALUE, item


def _default(shape: Shape, key: str) -> Any:
    """What stands for a key that is left out: the schema's default, which for what Go always prints is its zero."""
    assert shape.type is not None
    field = schema.fields(shape.type.base)[key]
    if key in _KEY_DEFAULTS:
        return _KEY_DEFAULTS[key]
    if not field.always and shape.type.base != "LocalObjectReference":
        return None
    return "" if field.type.base == "string" else 0


def child(shape: Shape, label: str) -> Shape:
    """The shape behind a label; a leaf if there is no such thing any more."""
    if shape.kind == "struct":
        return members(shape.model).get(label[2:], ("", _VALUE))[1]
    return shape.element or _VALUE


def key_label(shape: Shape, item: Any, place: int) -> str:
    """``k:{"containerPort":80,"protocol":"TCP"}``.  Raises: NoKey."""
    if len(shape.keys) == 1 and type(value := item.get(shape.keys[0])) is str and value.isalnum():
        return f'k:{{"{shape.keys[0]}":"{value}"}}'  # nearly always
    found = {}
    for key in shape.keys:
        value = item.get(key)
        if value is None:
            value = _default(shape, key)
        if value is None:
            raise NoKey(place, key)
        found[key] = value
    return "k:" + json.dumps(found, separators=(",", ":"), ensure_ascii=False)
