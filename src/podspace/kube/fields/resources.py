"""Verdicts on the fields of resources. How to change one: ``verdict``."""

from __future__ import annotations

from typing import Any

from podspace.kube.fields.verdict import Types, honoured, kept, refused
from podspace.kube.json import JSON

_KERNEL = "conformance/pods/test_isolation.py::test_limits_are_the_kernels_and_each_pod_has_its_cgroup"
_ROOM = "conformance/pods/test_lifecycle.py::test_a_pod_that_asks_for_more_than_there_is_waits"


def _unknown(amounts: Any, spec: JSON) -> bool:
    """Whether there is a resource among them that no node of this kind has."""
    return any(name not in ("cpu", "memory", "ephemeral-storage") and not name.startswith("hugepages-") for name in amounts)


_EXTENDED = refused("there are no extended resources", when=_unknown, example={"example.com/foo": "1"})

TYPES: Types = {
    "ContainerResizePolicy": {
        "resourceName": kept("Containers are not resized yet."),
        "restartPolicy": kept("Containers are not resized yet."),
    },
    "ResourceRequirements": {
        "claims": refused("there is no dynamic resource allocation"),
        "limits": honoured(_KERNEL, but=_EXTENDED),
        "requests": honoured(_ROOM, but=_EXTENDED),
    },
}
