"""The patch ``apply`` sends: what the manifest changes against the live object, and what it no longer has since it was last applied.

Pure. Lists whose elements have a name are patched by element, as the server merges them; the keys are those of the core kinds.
Source: kubernetes.io "Declarative Management of Kubernetes Objects", how apply calculates differences.
"""

from __future__ import annotations

from typing import Any

from podspace.kube.json import JSON

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "schedulingGates": ("name",),
    "resourceClaims": ("name",),
    "secrets": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "port"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}


def patch(original: JSON, modified: JSON, live: JSON) -> JSON:
    """A strategic merge patch; {} when nothing is to do. ``original`` is what was applied last, {} if nobody knows."""
    changes: JSON = {}
    for name, value in modified.items():
        if value is None:
            if name in live:
                changes[name] = None
        elif name not in live:
            changes[name] = value
        else:
            _change(changes, name, original.get(name), value, live[name])
    for name in original:
        if name not in modified and name in live:
            changes[name] = None
    return changes


def _change(changes: JSON, name: str, original: Any, value: Any, live: Any) -> None:
    if isinstance(value, dict) and isinstance(live, dict):
        inner = patch(original if isinstance(original, dict) else {}, value, live)
        if inner:
            changes[name] = inner
        return
    key = _merge_key(name, value, live)
    if key is None:
        if value != live:
            changes[name] = value
        return
    elements = _elements(key, original if isinstance(original, list) else [], value, live)
    wanted = [element[key] for element in value]
    if elements or wanted != [element[key] for element in live if element[key] in wanted]:
        changes[f"$setElementOrder/{name}"] = [{key: each} for each in wanted]
        if elements:
            changes[name] = elements


def _elements(key: str, original: list[Any], modified: list[Any], live: list[Any]) -> list[JSON]:
    had = {element[key]: element for element in original if isinstance(element, dict) and key in element}
    has = {element[key]: element for element in live}
    changes: list[JSON] = []
    for element in modified:
        if element[key] not in has:
            changes.append(element)
            continue
        inner = patch(had.get(element[key], {}), element, has[element[key]])
        if inner:
            changes.append({**inner, key: element[key]})
    wanted = {element[key] for element in modified}
    return changes + [{"$patch": "delete", key: each} for each in had if each not in wanted and each in has]


def _merge_key(name: str, value: Any, live: Any) -> str | None:
    """The key all elements of both lists have and tell themselves apart by; None: the list is replaced as a whole."""
    if not isinstance(value, list) or not isinstance(live, list) or not value:
        return None
    for key in MERGE_KEYS.get(name, ()):
        lists = ([element.get(key) if isinstance(element, dict) else None for element in each] for each in (value, live))
        if all(None not in keys and len(set(keys)) == len(keys) for keys in lists):
            return key
    return None
