"""What the ledger (``kube/fields``) refuses, looked for in a Pod. A Pod that asks for it is not run, and its event names the field and why.

Called by the scheduler before a Pod is bound, by ``admission`` for Pods that name their node themselves, and for ephemeral containers,
which meet neither. What is refused is decided in the ledger, never here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from podspace.kube.fields import table
from podspace.kube.json import JSON


class Unsupported(NamedTuple):
    """``path`` as in an API error (``spec.containers[0].volumeDevices``)."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path} ({self.why})"


def unsupported(pod: JSON) -> list[Unsupported]:
    """Return what is set and refused, in the order of the spec."""
    return list(_walk(table.ROOT, pod["spec"], "spec", pod["spec"]))


def unsupported_in(container: JSON, spec: JSON) -> list[Unsupported]:
    """The same for an ephemeral container of a Pod that runs already, with paths relative to the container."""
    return [Unsupported(path.removeprefix("."), why) for path, why in _walk("EphemeralContainer", container, "", spec)]


def in_words(found: Iterable[Unsupported]) -> str:
    """As events and conditions have it."""
    return f"podspace does not honour {', '.join(map(str, found))}"


def _walk(model: str, obj: JSON, path: str, spec: JSON) -> Iterator[Unsupported]:
    for step in table.steps(model):
        value = obj.get(step.name)
        if not _is_set(value):
            continue
        here = f"{path}.{step.name}"
        refusal = step.refusal
        if refusal is not None and (refusal.when is None or refusal.when(value, spec)):
            yield Unsupported(here, refusal.text)
        elif step.model:
            for suffix, item in _elements(step.shape, value):
                yield from _walk(step.model, item, here + suffix, spec)


def _is_set(value: Any) -> bool:
    """An empty list, map or text asks for nothing; a zero or a false may."""
    return value is not None and (not isinstance(value, str | list | dict) or bool(value))


def _elements(shape: str, value: Any) -> Iterator[tuple[str, JSON]]:
    if not shape:
        yield "", value
        return
    assert shape == "[]", shape  # the API has no maps of objects in a Pod
    for index, item in enumerate(value):
        yield f"[{index}]", item
