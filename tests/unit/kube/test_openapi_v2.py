"""The OpenAPI v2 message, read back with a reader of its own: what kubectl 1.20 looks for is where it looks."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from typing import Any

from podspace.kube import patch_keys, schema

Message = dict[int, list[bytes]]


def read(raw: bytes) -> Message:
    """Number -> values of a message of length-delimited fields."""
    fields: Message = defaultdict(list)
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = raw[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(raw):
        tag = varint()
        assert tag & 7 == 2
        length = varint()
        fields[tag >> 3].append(raw[position : position + length])
        position += length
    assert position == len(raw)
    return fields


def named(values: list[bytes]) -> dict[str, bytes]:
    return {fields[1][0].decode(): fields[2][0] for fields in map(read, values)}


def extensions(message: Message, number: int) -> dict[str, Any]:
    return {name: json.loads(read(value)[2][0]) for name, value in named(message[number]).items()}


@functools.cache
def document() -> Message:
    return read(schema.openapi_v2())


@functools.cache
def definitions() -> dict[str, Message]:
    return {name: read(raw) for name, raw in named(read(document()[9][0])[1]).items()}


def properties(model: str) -> dict[str, Message]:
    return {name: read(raw) for name, raw in named(read(definitions()[f"io.k8s.api.core.v1.{model}"][25][0])[1]).items()}


def test_a_pods_patch_takes_a_dry_run() -> None:
    paths = named(read(document()[8][0])[2])
    patch = read(read(paths["/api/v1/namespaces/{namespace}/pods/{name}"])[8][0])
    assert extensions(patch, 13)["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    queries = [read(read(read(read(parameter)[1][0])[2][0])[3][0]) for parameter in patch[8]]
    assert {query[4][0] for query in queries} >= {b"dryRun", b"fieldValidation"}
    assert {query[2][0] for query in queries} == {b"query"}


def test_kinds_are_named_by_their_definitions() -> None:
    kinds = [extensions(definition, 31).get("x-kubernetes-group-version-kind", []) for definition in definitions().values()]
    assert [{"group": "", "kind": "Pod", "version": "v1"}] in kinds
    assert [{"group": "coordination.k8s.io", "kind": "Lease", "version": "v1"}] in kinds


def test_a_field_has_its_type_and_text_and_references_lead_somewhere() -> None:
    sharing = properties("PodSpec")["shareProcessNamespace"]
    assert read(sharing[22][0])[1] == [b"boolean"]
    assert sharing[4][0].startswith(b"Share a single process namespace")
    security = properties("PodSpec")["securityContext"]
    assert security[1] == [b"#/definitions/io.k8s.api.core.v1.PodSecurityContext"]
    assert not security[22]
    for name in definitions():
        if name.startswith("io.k8s.api.core"):
            for field in properties(name.rpartition(".")[2]).values():
                element = read(read(field[23][0])[1][0]) if field[23] else field
                assert all(reference.decode().removeprefix("#/definitions/") in definitions() for reference in element[1])


def test_lists_are_merged_by_the_keys_the_server_merges_by() -> None:
    for model, keys in patch_keys.MERGED_LISTS.items():
        if f"io.k8s.api.core.v1.{model}" not in definitions():
            continue
        told = {name: extensions(field, 31) for name, field in properties(model).items() if field[31]}
        assert {name: one.get("x-kubernetes-patch-merge-key", "") for name, one in told.items()} == dict(keys)
    assert extensions(properties("PodSpec")["volumes"], 31)["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert extensions(properties("PodSpec")["containers"], 31)["x-kubernetes-patch-strategy"] == "merge"
