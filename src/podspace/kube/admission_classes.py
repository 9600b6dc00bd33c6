"""What a Pod gets from the classes it names: a priority (PriorityClass), and a handler's overhead and place (RuntimeClass).

Called by ``admission`` with what the store has. Pure. Source: plugins Priority and RuntimeClass of kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podspace import errors
from podspace.kube import names
from podspace.kube.json import JSON

SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_SYSTEM_NOTES = {
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
}
_PREEMPTS = "PreemptLowerPriority"


def system_classes() -> Iterable[JSON]:
    """The PriorityClasses that are always there."""
    for name, value in SYSTEM_CLASSES.items():
        yield {
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name},
            "value": value,
            "description": _SYSTEM_NOTES[name],
            "preemptionPolicy": _PREEMPTS,
        }


def priority(obj: JSON, spec: JSON, classes: Mapping[str, JSON]) -> None:
    """Fill in priority and preemption policy by the class named, or by the default one. ``classes``: by name. Raises: Forbidden."""
    name = spec.get("priorityClassName") or _default(classes)
    known = classes.get(name) or ({"value": SYSTEM_CLASSES[name]} if name in SYSTEM_CLASSES else None)
    if name and known is None:
        raise forbidden(obj, f"no PriorityClass with name {name} was found")
    if name:
        spec["priorityClassName"] = name
    computed, policy = (known or {}).get("value", 0), (known or {}).get("preemptionPolicy") or _PREEMPTS
    given, wanted = spec.get("priority"), spec.get("preemptionPolicy")
    why = "priority admission controller computed {} from the given PriorityClass name"
    if given is not None and given != computed:
        words = f"the integer value of priority ({given}) must not be provided in pod spec; "
        raise forbidden(obj, words + why.format(computed))
    if wanted is not None and wanted != policy:
        words = f"the string value of PreemptionPolicy ({wanted}) must not be provided in pod spec; "
        raise forbidden(obj, words + why.format(policy))
    spec["priority"], spec["preemptionPolicy"] = computed, policy


def _default(classes: Mapping[str, JSON]) -> str:
    """The class marked so; of several the one of the lowest value."""
    marked = [item for item in classes.values() if item.get("globalDefault")]
    return str(min(marked, key=lambda item: int(item.get("value", 0)))["metadata"]["name"]) if marked else ""


def runtime_class(obj: JSON, spec: JSON, classes: Mapping[str, JSON]) -> None:
    """Fill in what the RuntimeClass named says. ``classes``: by name. Raises: Forbidden."""
    name = spec.get("runtimeClassName")
    if name is None:
        return
    found = classes.get(name)
    if found is None:
        raise _no_class(obj, name)
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead and (spec.get("overhead") or overhead) != overhead:
        raise forbidden(obj, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if overhead:
        spec["overhead"] = dict(overhead)
    if found.get("scheduling"):
        _place(obj, spec, found["scheduling"])


def _no_class(obj: JSON, name: str) -> errors.PodspaceError:
    """What is no name at all, the plugin only finds out when it asks, and calls it its own fault."""
    if not name:
        return errors.Internal("resource name may not be empty")
    if problems := names.path_segment(name):
        return errors.Internal(f'invalid resource name "{name}": [{" ".join(problems)}]')
    return forbidden(obj, f'pod rejected: RuntimeClass "{name}" not found')


def check_overhead(obj: JSON, classes: Mapping[str, JSON]) -> None:
    """Only a RuntimeClass adds overhead; said of Pods that are valid otherwise. ``classes``: by name. Raises: Forbidden."""
    found = classes.get(obj["spec"].get("runtimeClassName") or "") or {}
    if "overhead" in obj["spec"] and not (found.get("overhead") or {}).get("podFixed"):
        raise forbidden(obj, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _place(obj: JSON, spec: JSON, scheduling: JSON) -> None:
    """Both must be borne: the class's selector and tolerations, and the Pod's."""
    selector: JSON = spec.get("nodeSelector") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            there, here = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}", f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            raise forbidden(obj, f"conflict: {there}; {here}")
        selector = {**selector, key: value}
    if selector:
        spec["nodeSelector"] = selector
    own = list(spec.get("tolerations") or ())
    more = [toleration for toleration in scheduling.get("tolerations") or () if toleration not in own]
    if more:
        spec["tolerations"] = own + more


def forbidden(obj: JSON, message: str) -> errors.Forbidden:
    name = (obj.get("metadata") or {}).get("name", "")
    return errors.Forbidden(f'pods "{name}" is forbidden: {message}', resource="pods", name=name)
