"""Derive ``src/podspace/kube/protobuf_table.json`` from Kubernetes' protobuf field numbers.

Run by hand when the served Kubernetes minor changes, or a kind is added: ``python -m tools.gen_protobuf FIELDS.json [PROTOS]``. FIELDS.json
maps message -> number -> [json name, type, marks...]; PROTOS is a folder with the ``<group>/v1/generated.proto`` of k8s.io/api. Messages
that the table has already may be left out of both. The result maps message -> number -> "json type marks" with the members of inlined
messages kept apart (mark ``inline``), messages nobody can send left out. ``tests/unit/kube/test_protobuf.py`` reads the result.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from podspace.kube import resources, schema
from tools import go_types

TARGET = Path(__file__).resolve().parent.parent / "src" / "podspace" / "kube" / "protobuf_table.json"
OPTIONS = ("DeleteOptions", "Eviction", "TokenRequest", "Status")
SCALARS = ("string", "bool", "int32", "int64", "bytes", "double")
META = {  # of apimachinery, which has a file of its own
    "Condition": {
        "1": ["type", "string"],
        "2": ["status", "string"],
        "3": ["observedGeneration", "int64"],
        "4": ["lastTransitionTime", "Time"],
        "5": ["reason", "string"],
        "6": ["message", "string"],
    }
}
MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(
    r"^\s*(?P<label>optional|repeated)?\s*(?:map<(?P<key>string), ?(?=[.\w]+>))?\.?(?P<type>[.\w]+)>? (?P<name>\w+) = (?P<number>\d+);",
    re.MULTILINE,
)


def main() -> None:
    protos = from_protos(Path(sys.argv[2])) if len(sys.argv) > 2 else {}
    messages: dict[str, Any] = META | protos | known() | json.loads(Path(sys.argv[1]).read_text())["messages"]
    served = [schema.model_of(resource.kind, resource.group) for resource in resources.RESOURCES if not resource.hidden]
    wanted = reachable(messages, served + list(OPTIONS))
    table = {name: {number: _line(field) for number, field in messages[name].items()} for name in sorted(wanted)}
    TARGET.write_text(json.dumps(table, indent=0, sort_keys=False) + "\n")
    print(f"{len(table)} messages")


def _line(field: list[str]) -> str:
    """One name in a .proto is spelled otherwise in JSON."""
    return " ".join(["uid" if field[0] == "uID" else field[0], *field[1:]])


def known() -> dict[str, Any]:
    """The messages of the present table, so that FIELDS.json may hold new ones only."""
    table: dict[str, dict[str, str]] = json.loads(TARGET.read_text())
    return {name: {number: text.split() for number, text in fields.items()} for name, fields in table.items()}


def from_protos(folder: Path) -> dict[str, Any]:
    """message -> number -> [json name, type, marks...] of every generated.proto below a folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*/v1/generated.proto")):
        module = f"{path.parent.parent.name}_v1"
        for name, body in MESSAGE.findall(re.sub(r"//.*", "", path.read_text())):
            key = _key(module, name)
            found.setdefault(key, dict(_field(module, name, match) for match in FIELD.finditer(body)))
    return found


def _field(module: str, message: str, match: re.Match[str]) -> tuple[str, list[str]]:
    key_type, name = match["key"], match["name"]
    kind = _key(module, match["type"]) if "." not in match["type"] else match["type"].rpartition(".")[2]
    members = getattr(getattr(importlib.import_module(f"lightkube.models.{module}"), message, None), "__annotations__", None)
    inline = members is not None and name not in {field.rstrip("_") for field in members} and kind not in SCALARS
    pointer = name in go_types.POINTERS.get(message, ())
    marks = {"map": bool(key_type), "list": match["label"] == "repeated", "inline": inline, "ptr": pointer}
    return match["number"], [name, kind, *(mark for mark, is_set in marks.items() if is_set)]


def _key(module: str, name: str) -> str:
    """Only events.k8s.io clashes with core names."""
    return f"{module}.{name}" if module == "events_v1" and name not in SCALARS else name


def reachable(messages: dict[str, Any], roots: list[str]) -> set[str]:
    """Every message some root can hold."""
    found: set[str] = set()
    waiting = [root for root in roots if root in messages]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting.extend(field[1] for field in messages[name].values() if field[1] in messages)
    return found


if __name__ == "__main__":
    main()
