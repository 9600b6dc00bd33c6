"""What ``describe`` prints for kinds other than Pods. Pure."""

from __future__ import annotations

import binascii

from podspace.cli import describe_pod, output
from podspace.cli.describe_text import NONE, Lines
from podspace.kube.json import JSON


def describe(lines: Lines, kind: str, obj: JSON) -> None:
    """Name, labels and annotations, then what the kind is about."""
    metadata = obj["metadata"]
    lines.field(0, "Name", metadata["name"])
    if metadata.get("namespace"):
        lines.field(0, "Namespace", metadata["namespace"])
    lines.pairs(0, "Labels", metadata.get("labels"))
    hidden = describe_pod.ANNOTATIONS_HIDDEN
    lines.pairs(
        0, "Annotations", {name: value for name, value in (metadata.get("annotations") or {}).items() if name not in hidden}, sign=": "
    )
    {"ConfigMap": _config_map, "Secret": _secret, "Namespace": _namespace, "Node": _node}.get(kind, _rest)(lines, obj)


def _config_map(lines: Lines, obj: JSON) -> None:
    for title, name in (("Data", "data"), ("BinaryData", "binaryData")):
        lines.add(0, "")
        lines.add(0, title)
        lines.add(0, "====")
        for key, value in sorted((obj.get(name) or {}).items()):
            if name == "data":
                lines.add(0, f"{key}:\n----\n{value}\n")
            else:
                lines.add(0, f"{key}: {_size(value)} bytes")


def _secret(lines: Lines, obj: JSON) -> None:
    """Sizes only: a secret is not for the screen."""
    lines.add(0, "")
    lines.field(0, "Type", obj.get("type", ""))
    lines.add(0, "")
    lines.add(0, "Data")
    lines.add(0, "====")
    for key, value in sorted((obj.get("data") or {}).items()):
        lines.field(0, key, f"{_size(value)} bytes")


def _namespace(lines: Lines, obj: JSON) -> None:
    lines.field(0, "Status", (obj.get("status") or {}).get("phase", ""))


def _node(lines: Lines, obj: JSON) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    lines.field(0, "CreationTimestamp", describe_pod.moment(obj["metadata"].get("creationTimestamp")))
    taints = "\n".join(
        f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}" for taint in spec.get("taints") or ()
    )
    lines.field(0, "Taints", taints or NONE)
    lines.field(0, "Unschedulable", str(bool(spec.get("unschedulable"))).lower())
    lines.add(0, "Conditions:")
    lines.add(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage")
    lines.add(1, "----\t------\t------------------\t------\t-------")
    for condition in status.get("conditions") or ():
        when = describe_pod.moment(condition.get("lastTransitionTime"))
        lines.add(
            1, f"{condition['type']} \t{condition['status']} \t{when} \t{condition.get('reason', '')} \t{condition.get('message', '')}"
        )
    lines.add(0, "Addresses:")
    for address in status.get("addresses") or ():
        lines.field(1, address["type"], address["address"])
    for title in ("capacity", "allocatable"):
        lines.add(0, f"{title.capitalize()}:")
        for name, amount in sorted((status.get(title) or {}).items()):
            lines.field(1, name, amount)
    lines.add(0, "System Info:")
    for name, value in (status.get("nodeInfo") or {}).items():
        lines.field(1, name[:1].upper() + name[1:], value)


def _rest(lines: Lines, obj: JSON) -> None:
    """Kinds without a description of their own are shown as they are."""
    rest = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    if rest:
        lines.add(0, output.as_yaml(rest).rstrip("\n"))


def _size(value: str) -> int:
    try:
        return len(binascii.a2b_base64(value))
    except binascii.Error:
        return 0
