"""Reads what ``-f`` names: files, folders, URLs, standard input; YAML of several documents, JSON, Lists.

Called by apply, delete and get. Checks nothing but the syntax: the rest is the server's to say.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podspace.cli import failure
from podspace.kube.json import JSON

SUFFIXES = (".yaml", ".yml", ".json")
FETCH_SECONDS = 30
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object and where it came from ("STDIN" for standard input)."""

    obj: JSON
    source: str


class _Loader(_Base):  # type: ignore[misc]  # the C loader, where PyYAML has it
    """As Go's YAML reader: a repeated key is an error, a timestamp is a string."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:str" and key.value in seen:
                raise yaml.YAMLError(f'unmarshal errors:\n  line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


def read(sources: Sequence[str], *, recursive: bool = False) -> list[Manifest]:
    """All objects of all sources, in order. Raises: failure.Failure naming the source."""
    found = [manifest for source in sources for manifest in _read_source(source, recursive)]
    if not found:
        raise failure.Failure("no objects passed to apply" if sources else "must specify one of -f and -k")
    return found


def _read_source(source: str, recursive: bool) -> Iterator[Manifest]:
    if source == "-":
        yield from parse(sys.stdin.buffer.read(), "STDIN")
    elif source.startswith(("http://", "https://")):
        yield from parse(_fetch(source), source)
    else:
        for path in _files(Path(source), recursive):
            try:
                data = path.read_bytes()
            except OSError as error:
                raise failure.Failure(f'the path "{path}" cannot be read: {error.strerror}') from None
            yield from parse(data, str(path))


def parse(data: bytes, source: str) -> Iterator[Manifest]:
    """Every object of one file. Raises: failure.Failure."""
    try:
        text = data.decode()
        documents = [json.loads(text)] if text.lstrip().startswith("{") and _is_json(text) else list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise failure.Failure(f"error parsing {source}: error converting YAML to JSON: yaml: {_problem(error)}") from None
    for document in documents:
        if document is not None:
            yield from _flatten(document, source)


def _problem(error: Exception) -> str:
    """``line 2: did not find expected node content``, as Go's reader has it; PyYAML's own words are several lines."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def _is_json(text: str) -> bool:
    with contextlib.suppress(ValueError):
        json.loads(text)
        return True
    return False


def _flatten(document: Any, source: str) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise failure.Failure(f"error parsing {source}: a manifest is a mapping with apiVersion and kind, not {type(document).__name__}")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _flatten(item, source)
    else:
        yield Manifest(obj=document, source=source)


def _files(path: Path, recursive: bool) -> list[Path]:
    if not path.exists():
        raise failure.Failure(f'the path "{path}" does not exist')
    if not path.is_dir():
        return [path]
    return sorted(entry for entry in (path.rglob("*") if recursive else path.iterdir()) if entry.suffix in SUFFIXES and entry.is_file())


def _fetch(url: str) -> bytes:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            raise failure.Failure(f"unable to read URL {url!r}, server reported {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise failure.Failure(f"unable to read URL {url!r}: {getattr(reason, 'strerror', None) or reason}") from None
