"""Protobuf bodies, as kubectl sends them, become the objects they stand for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from podspace import errors
from podspace.kube import decode, protobuf, resources, schema, strict
from podspace.kube.json import JSON
from tests.unit.kube import facts

CONFIG_MAP = "azhzAAoPCgJ2MRIJQ29uZmlnTWFwEi4KEwoDY20xEgAaACIAKgAyADgAQgASBgoBYRIBMRIPCgVmLnR4dBIGaGVsbG8KGgAiAA=="


def test_a_configmap_of_kubectl_create_is_read() -> None:
    decoded = decode.decode(
        base64.b64decode(CONFIG_MAP), "application/vnd.kubernetes.protobuf", resources.CONFIGMAPS, field_validation="Strict"
    )
    assert decoded.obj == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "cm1"}, "data": {"a": "1", "f.txt": "hello\n"}}


def test_a_zero_is_unset_unless_the_field_is_a_pointer() -> None:
    host_pid, shared = b"\x60\x00", b"\xd8\x01\x00"  # fields 12 and 27 of PodSpec
    assert protobuf.message("PodSpec", host_pid + shared) == {"shareProcessNamespace": False}


def test_negative_integers_are_ten_byte_varints() -> None:
    grace = b"\x20" + b"\xff" * 9 + b"\x01"
    assert protobuf.message("PodSpec", grace) == {"terminationGracePeriodSeconds": -1}


def test_volumes_and_classes_of_storage_are_read() -> None:
    path = b"\x12\x08\x1a\x06\x0a\x04/srv"  # PersistentVolumeSpec 2 (inlined) -> hostPath 3 -> path 1
    assert protobuf.message("PersistentVolumeSpec", path + b"\x1a\x0dReadWriteOnce" + b"\x32\x04slow") == {
        "hostPath": {"path": "/srv"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "slow",
    }
    spec = b"\x12\x11\x0a\x0dReadWriteOnce\x2a\x00"  # an empty class is told from none
    assert protobuf.message("PersistentVolumeClaim", spec) == {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}}
    assert protobuf.message("StorageClass", b"\x12\x03a/b\x30\x00") == {"provisioner": "a/b", "allowVolumeExpansion": False}


@pytest.mark.parametrize("broken", [b"\x0a\x05ab", b"\x0a", b"\x0b\x01", b"\xff" * 11])
def test_broken_bytes_are_a_clear_refusal(broken: bytes) -> None:
    body = protobuf.MAGIC + b"\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + bytes([len(broken)]) + broken
    with pytest.raises(errors.BadRequest):
        decode.decode(body, "application/vnd.kubernetes.protobuf", resources.PODS)


def test_another_beginning_is_refused() -> None:
    with pytest.raises(errors.BadRequest, match=r"expected prefix \[107 56 115 0\]"):
        decode.decode(b"abc", "application/vnd.kubernetes.protobuf", resources.PODS)


def test_a_time_beyond_the_calendar_is_a_clear_refusal() -> None:
    time = b"\x08" + b"\xff" * 8 + b"\x7f"
    metadata = b"\x42" + bytes([len(time)]) + time
    raw = b"\x0a" + bytes([len(metadata)]) + metadata
    body = protobuf.MAGIC + b"\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + bytes([len(raw)]) + raw
    with pytest.raises(errors.BadRequest):
        decode.decode(body, "application/vnd.kubernetes.protobuf", resources.PODS)


def test_a_time_of_the_first_year_is_written_as_go_writes_it() -> None:
    zero = (-62135596800).to_bytes(8, "little", signed=True)
    number, varint = int.from_bytes(zero, "little"), bytearray()
    while number > 0x7F:
        varint.append(number & 0x7F | 0x80)
        number >>= 7
    time = b"\x08" + bytes(varint) + bytes([number])
    metadata = b"\x42" + bytes([len(time)]) + time
    raw = b"\x0a" + bytes([len(metadata)]) + metadata
    body = protobuf.MAGIC + b"\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + bytes([len(raw)]) + raw
    pod = decode.decode(body, "application/vnd.kubernetes.protobuf", resources.PODS).obj
    assert pod["metadata"]["creationTimestamp"] == "0001-01-01T00:00:00Z"


def _recorded() -> list[Any]:
    """Every body kubectl sent as protobuf in the recordings, with what the recorder made of it."""
    if not facts.present():
        return []
    found: dict[str, Any] = {}
    for path in sorted((facts.FACTS / "samples").glob("kubectl*.json")):
        _collect(json.loads(path.read_text()), path.stem, found)
    return list(found.values())


def _collect(value: Any, name: str, found: dict[str, Any]) -> None:
    if isinstance(value, dict):
        if "<protobuf>" in value and "base64" in value:
            found.setdefault(value["base64"], pytest.param(value, id=f"{name}-{value['bytes']}"))
        for item in value.values():
            _collect(item, name, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, name, found)


@facts.needs
@pytest.mark.parametrize("body", _recorded())
def test_what_kubectl_sends_is_read_as_the_recorder_read_it(body: JSON) -> None:
    raw, wanted = base64.b64decode(body["base64"]), body["decoded"]
    kind = wanted["kind"]
    resource = resources.by_kind(kind)
    if resource is None:
        obj = decode.decode_options(raw, "application/vnd.kubernetes.protobuf", kind)
    else:
        obj = decode.decode(raw, "application/vnd.kubernetes.protobuf", resource, field_validation="Strict").obj
    expected = {"kind": kind, "apiVersion": wanted["apiVersion"], **strict.normalize(wanted, kind, resource.group if resource else "")}
    assert _pruned(obj) == _pruned(expected)


def _pruned(value: Any) -> Any:
    """Without empty objects, which the recorder did not keep."""
    if isinstance(value, dict):
        kept = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item != {}}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def served_models() -> Iterator[str]:
    """The model of every kind that is served or taken by a subresource, and all they hold."""
    waiting = ["DeleteOptions"]
    for resource in resources.RESOURCES:
        if not resource.hidden and resource.group != resources.LENS_GROUP:
            waiting.append(schema.model_of(resource.kind, resource.group))
            waiting += [sub.kind for sub in resource.subresources.values()]
    seen: set[str] = set()
    while waiting:
        model = waiting.pop()
        if model not in seen and schema.known(model):
            seen.add(model)
            waiting += [field.type.base for field in schema.fields(model).values() if field.type.base not in schema.SCALARS]
            yield model


@pytest.mark.parametrize("model", sorted(served_models()))
def test_every_field_of_every_served_kind_has_its_number(model: str) -> None:
    def numbered(message: str) -> dict[str, protobuf._Field]:
        found: dict[str, protobuf._Field] = {}
        for field in protobuf._table()[message].values():
            found |= numbered(field.kind) if field.is_inline else {field.name: field}
        return found

    known = numbered(model)
    for name, field in schema.fields(model).items():
        if name not in ("kind", "apiVersion"):
            assert name in known, f"{model}.{name}"
            shape = ("[]" if known[name].is_list else "{}" if known[name].is_map else "", known[name].is_pointer)
            assert shape == (field.type.shape[:2], field.pointer), f"{model}.{name}"


def wire(message: str, **fields: bytes | str) -> bytes:
    """A message of strings and messages, in the numbers of the table."""
    numbers = {field.name: number for number, field in protobuf._table()[message].items()}
    found = b""
    for name, value in fields.items():
        raw = value.encode() if isinstance(value, str) else value
        found += bytes([numbers[name] << 3 | 2, len(raw)]) + raw
    return found


def test_an_event_of_the_other_group_is_read_by_its_own_numbers() -> None:
    regarding = wire("ObjectReference", kind="Pod", name="p", namespace="n")
    event = wire("events_v1.Event", metadata=wire("ObjectMeta", name="e"), note="hello", reason="R", regarding=regarding, type="Normal")
    head = b"\x0a" + bytes([len(b"events.k8s.io/v1")]) + b"events.k8s.io/v1" + b"\x12\x05Event"
    body = protobuf.MAGIC + b"\x0a" + bytes([len(head)]) + head + b"\x12" + bytes([len(event)]) + event
    decoded = decode.decode(body, decode.PROTOBUF_TYPE, resources.EVENTS_V1).obj
    assert (decoded["note"], decoded["regarding"]["name"], decoded["metadata"]["name"]) == ("hello", "p", "e")
    assert decoded["apiVersion"] == "events.k8s.io/v1"
