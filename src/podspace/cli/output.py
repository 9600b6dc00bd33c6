"""Objects as text: ``-o yaml|json|name|jsonpath=...|custom-columns=...``. Tables of the server are ``get``'s own.

Called by get, apply and delete. Pure but for reading a template's file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from podspace.cli import failure, jsonpath, tabs
from podspace.kube import resources
from podspace.kube.json import JSON

Printer = Callable[[Sequence[JSON], bool], str]
FORMATS = ("json", "yaml", "name", "wide", "jsonpath", "jsonpath-file", "jsonpath-as-json", "custom-columns", "custom-columns-file")


def printer(form: str, *, show_managed_fields: bool = False, no_headers: bool = False) -> Printer | None:
    """A function of (objects, whether they are a list) to the text; None for a table ("" and "wide"). Raises: failure.Failure."""
    if form in ("", "wide"):
        return None
    name, equals, argument = form.partition("=")
    if name not in FORMATS:
        shown = ",".join(FORMATS)
        raise failure.Failure(f'unable to match a printer suitable for the output format "{form}", allowed formats are: {shown}')
    if name.endswith("-file"):
        name, argument = name.removesuffix("-file"), _template(argument)
    elif name in ("jsonpath", "custom-columns") and not equals:
        raise failure.Failure(f"{name} is specified but no template is given: {name}=<template>")
    plain = {"json": as_json, "yaml": as_yaml}.get(name)
    if plain is not None:
        return lambda objs, listed: plain(_whole([_shown(obj, show_managed_fields) for obj in objs], listed))
    if name == "name":
        return lambda objs, _: "".join(f"{name_of(obj)}\n" for obj in objs)
    if name == "custom-columns":
        return lambda objs, _: custom_columns(objs, argument, no_headers)
    path = jsonpath.compile(argument)
    if name == "jsonpath-as-json":
        return lambda objs, listed: as_json(path.find(_whole(objs, listed)))
    return lambda objs, listed: path.render(_whole(objs, listed))


def as_json(value: Any) -> str:
    """Four spaces, keys sorted, as kubectl prints it."""
    return json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False) + "\n"


def as_yaml(value: Any) -> str:
    """Keys sorted, text of several lines as a block."""
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]  # the C dumper, where PyYAML has it
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(value, Dumper=Dumper, default_flow_style=False, allow_unicode=True, width=1 << 30))


def name_of(obj: JSON) -> str:
    """``pod/nginx``."""
    kind, group = str(obj.get("kind", "")).lower(), str(obj.get("apiVersion", "")).rpartition("/")[0]
    return f"{kind}.{group}/{obj['metadata']['name']}" if group else f"{kind}/{obj['metadata']['name']}"


def with_type(obj: JSON, resource: resources.Resource) -> JSON:
    """Items of a list carry neither kind nor apiVersion; printed alone they need them."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}


def custom_columns(objs: Sequence[JSON], spec: str, no_headers: bool = False) -> str:
    """``NAME:.metadata.name,NODE:.spec.nodeName``."""
    pairs = [column.partition(":") for column in spec.split(",")]
    if not all(header and path for header, _, path in pairs):
        raise failure.Failure("expected columns as <header>:<json-path-expr>, separated by commas")
    paths = [jsonpath.compile(jsonpath.relaxed(path)) for _, _, path in pairs]
    rows = [] if no_headers else [[header for header, _, _ in pairs]]
    rows += [[",".join(jsonpath.text(value) for value in path.find(obj)) or "<none>" for path in paths] for obj in objs]
    return "".join(line + "\n" for line in tabs.columns(rows))


def _whole(objs: Sequence[JSON], listed: bool) -> JSON:
    if not listed and len(objs) == 1:
        return objs[0]
    return {"apiVersion": "v1", "items": list(objs), "kind": "List", "metadata": {"resourceVersion": ""}}


def _shown(obj: JSON, managed_fields: bool) -> JSON:
    metadata = obj.get("metadata")
    if managed_fields or not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _template(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise failure.Failure(f"error reading template {path}: {error.strerror}") from None
