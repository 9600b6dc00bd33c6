"""Derive ``kube/schema_table.json`` and ``kube/schema_docs.json`` from lightkube-models: ``python -m tools.gen_schema``.

The server must not import lightkube (90 ms, 30 MB), so what it needs of it ships as data: for every model a served kind can hold,
its fields in the order of the Go struct as ``"type flags"``, and apart from that, for ``kubectl explain``, the texts.
``tests/unit/kube/test_schema.py`` derives both again and compares, so the files are always true.

Types: string, string:<Go name>, bool, int32, int64, bytes, quantity, time, microtime, intstr, raw, a model's name; ``[]T`` and ``{}T``
(``{}quantity:v1.ResourceList``). Flags: p = pointer (a zero is kept), r = printed even when unset or zero.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

from tools import go_types

KUBE = Path(__file__).resolve().parent.parent / "src" / "podspace" / "kube"
ROOTS = {
    "core_v1": (
        *("Pod", "ConfigMap", "Secret", "ServiceAccount", "Namespace", "Node", "Event", "Service", "Binding"),
        *("PersistentVolume", "PersistentVolumeClaim", "LimitRange", "ResourceQuota"),
    ),
    "storage_v1": ("StorageClass",),
    "node_v1": ("RuntimeClass",),
    "scheduling_v1": ("PriorityClass",),
    "events_v1": ("Event",),
    "coordination_v1": ("Lease",),
    "policy_v1": ("Eviction",),
    "meta_v1": ("DeleteOptions", "Status"),
    "authentication_v1": ("TokenRequest", "SelfSubjectReview", "TokenReview"),
    "authorization_v1": ("SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview", "LocalSubjectAccessReview"),
}
LEAVES = {
    "str": "string",
    "int": "int64",
    "bool": "bool",
    "float": "float64",
    "dict": "{}string",
    "resource.Quantity": "quantity",
    "util_intstr.IntOrString": "intstr",
    "meta_v1.Time": "time",
    "meta_v1.MicroTime": "microtime",
    "meta_v1.FieldsV1": "raw",
    "meta_v1.Patch": "raw",
    "runtime.RawExtension": "raw",
}
WRAPPED_COLUMNS = 77  # one less: between sentences two blanks may have been lost
PARAMETER = re.compile(r"^ *\* \*\*(\w+)\*\* ``.*?`` ?-? ?(.*)$")


def table() -> dict[str, dict[str, str]]:
    """Model -> field -> "type flags"."""
    return {key: _fields(key, cls) for key, cls in sorted(_reachable().items())}


def docs() -> dict[str, dict[str, str]]:
    """Model -> field -> text; the model's own text is under ""."""
    return {key: _texts(cls) for key, cls in sorted(_reachable().items())}


def render(data: dict[str, dict[str, str]]) -> str:
    """One model a line: small, and a change shows as one."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _reachable() -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting = [(module, name) for module, names in ROOTS.items() for name in names]
    while waiting:
        module, name = waiting.pop()
        key = _key(module, name)
        if key in found:
            continue
        cls = getattr(importlib.import_module(f"lightkube.models.{module}"), name)
        found[key] = cls
        for annotation in cls.__annotations__.values():
            target = _qualify(module, _split(annotation)[1])
            if target not in LEAVES:
                waiting.append(_locate(target))
    return found


def _key(module: str, name: str) -> str:
    """Only events.k8s.io clashes with core names."""
    return f"{module}.{name}" if module == "events_v1" else name


def _split(annotation: str) -> tuple[bool, str, bool]:
    """("Optional[List[X]]") -> (required, X, list)."""
    required = not annotation.startswith("Optional[")
    inner = annotation if required else annotation[len("Optional[") : -1]
    if inner.startswith("List["):
        return required, inner[len("List[") : -1], True
    return required, inner, False


def _qualify(module: str, name: str) -> str:
    return name if "." in name or name in LEAVES else f"{module}.{name}"


def _locate(qualified: str) -> tuple[str, str]:
    module, _, name = qualified.partition(".")
    return module, name


def _fields(key: str, cls: Any) -> dict[str, str]:
    model = cls.__name__
    protobuf = {} if "." in key else _protobuf(model)
    fields = {_wire_name(name): _field(key, cls, _wire_name(name), text, protobuf) for name, text in cls.__annotations__.items()}
    head = ["kind", "apiVersion"] if any(model in names for names in ROOTS.values()) else []
    order = [*head, *go_types.ORDER.get(model, "").split(), *protobuf]
    rank = {name: place for place, name in reversed(list(enumerate(order)))}
    return dict(sorted(fields.items(), key=lambda item: rank.get(item[0], len(order))))


def _wire_name(name: str) -> str:
    """lightkube appends "_" to names that are Python keywords."""
    return name[:-1] if name.endswith("_") else name


def _field(key: str, cls: Any, name: str, annotation: str, protobuf: dict[str, list[str]]) -> str:
    model, module = cls.__name__, cls.__module__.rpartition(".")[2]
    required, target, is_list = _split(annotation)
    target = _qualify(module, target)
    known = protobuf.get(name, [])
    wire = known[0] if known else ""
    kind = _leaf(model, name, target, wire)
    if is_list:
        kind = "[]" + kind
    pointer = "ptr" in known or name in go_types.POINTERS.get(model, ())
    always = required or name in go_types.ALWAYS.get(key, ())
    flags = ("p" if pointer else "") + ("r" if always and not pointer else "")
    return f"{kind} {flags}".strip()


def _leaf(model: str, name: str, target: str, wire: str) -> str:
    if target == "dict":
        if name in go_types.QUANTITY_MAPS:
            return "{}quantity:v1.ResourceList"
        if name in go_types.BYTES_MAPS.get(model, ()):
            return "{}bytes"
        return "{}[]string" if name in go_types.STRING_LIST_MAPS else "{}string"
    if target == "str":
        if wire == "bytes":
            return "bytes"
        named = go_types.NAMED_STRINGS.get(model, {}).get(name) or go_types.NAMED_STRINGS["*"].get(name)
        return f"string:{named}" if named else "string"
    if target == "int" and (wire == "int32" or name in go_types.INT32.get(model, ())):
        return "int32"
    return LEAVES.get(target) or _key(*_locate(target))


_TABLE: dict[str, dict[str, str]] = {}


def _protobuf(model: str) -> dict[str, list[str]]:
    """field -> [type, marks...], inlined messages opened up."""
    if not _TABLE:
        _TABLE.update(json.loads((KUBE / "protobuf_table.json").read_text()))
    fields: dict[str, list[str]] = {}
    for text in _TABLE.get(model, {}).values():
        name, kind, *marks = text.split()
        if "inline" in marks:
            fields.update(_protobuf(kind))
        else:
            fields[name] = [kind, *marks]
    return fields


def _texts(cls: Any) -> dict[str, str]:
    head, _, rest = (cls.__doc__ or "").partition("**parameters**")
    texts = {"": _unwrap(head.splitlines())}
    name, lines = "", list[str]()
    for line in [*rest.splitlines(), "* **end** ``x`` - "]:
        started = PARAMETER.match(line)
        if started:
            if name:
                texts[_wire_name(name)] = _unwrap(lines)
            name, lines = started[1], [started[2]]
        else:
            lines.append(line)
    return texts


def _unwrap(lines: list[str]) -> str:
    """Undo the wrapping. A line that ends although the next word would have fitted, or an empty one, ends a paragraph."""
    paragraphs: list[list[str]] = [[]]
    room = 0
    for line in (line.strip() for line in lines):
        if not line or len(line.split()[0]) < room:
            paragraphs.append([])
        paragraphs[-1].append(line)
        room = WRAPPED_COLUMNS - len(line) if line else 0
    return "\n\n".join(" ".join(paragraph).strip() for paragraph in paragraphs if any(paragraph))


def main() -> None:
    (KUBE / "schema_table.json").write_text(render(table()))
    (KUBE / "schema_docs.json").write_text(render(docs()))


if __name__ == "__main__":
    main()
