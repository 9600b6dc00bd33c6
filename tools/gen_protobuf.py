"""Derive ``src/podspace/kube/protobuf_table.json`` from a table of Kubernetes' protobuf field numbers.

Run by hand when the served Kubernetes minor changes, or for new kinds: ``python -m tools.gen_protobuf FIELDS.json``, where FIELDS.json
maps message -> number -> [json name, type, marks...]; messages that the table has already may be left out. The result maps
message -> number -> "json type marks" with the members of inlined messages kept apart (mark ``inline``), messages nobody can send
left out. ``tests/unit/kube/test_protobuf.py`` reads the result.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from podspace.kube import resources

TARGET = Path(__file__).resolve().parent.parent / "src" / "podspace" / "kube" / "protobuf_table.json"
OPTIONS = ("DeleteOptions", "Eviction", "TokenRequest", "Status")
SCALARS = ("string", "bool", "int32", "int64", "bytes", "double")


def main() -> None:
    messages = known() | json.loads(Path(sys.argv[1]).read_text())["messages"]
    wanted = reachable(messages, [resource.kind for resource in resources.RESOURCES] + list(OPTIONS))
    table = {name: {number: " ".join(field) for number, field in messages[name].items()} for name in sorted(wanted)}
    TARGET.write_text(json.dumps(table, indent=0, sort_keys=False) + "\n")
    print(f"{len(table)} messages")


def known() -> dict[str, Any]:
    """The messages of the present table, so that FIELDS.json may hold new ones only."""
    table: dict[str, dict[str, str]] = json.loads(TARGET.read_text())
    return {name: {number: text.split() for number, text in fields.items()} for name, fields in table.items()}


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
