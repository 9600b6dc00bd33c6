"""The whole ledger, and what can be read off it. Called by ``node/support`` (what is refused) and ``tools/gen_fields`` (the page)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from podspace.kube import schema
from podspace.kube.fields import containers, environment, network, pod, probes, resources, scheduling, security, volumes
from podspace.kube.fields.verdict import Kind, Types, Verdict

PARTS: Mapping[str, Types] = {
    "The Pod": pod.TYPES,
    "Containers": containers.TYPES,
    "Variables": environment.TYPES,
    "Probes, hooks and restarts": probes.TYPES,
    "Volumes": volumes.TYPES,
    "Security": security.TYPES,
    "Resources": resources.TYPES,
    "Scheduling": scheduling.TYPES,
    "Network": network.TYPES,
}
TYPES: Types = {model: fields for part in PARTS.values() for model, fields in part.items()}
ROOT = "PodSpec"


class Step(NamedTuple):
    """A field that is refused itself, or leads to one that is."""

    name: str
    refusal: Verdict | None
    shape: str  # "", "[]" or "{}": what is around the model
    model: str  # to descend into; "" where nothing below is refused


@functools.cache
def steps(model: str) -> tuple[Step, ...]:
    """The fields of a type at or below which something is refused, in the order of the Go struct."""
    found = []
    for name, field in schema.fields(model).items():
        verdict = TYPES[model][name]
        below = field.type.base if _is_entered(verdict) and field.type.base in TYPES and steps(field.type.base) else ""
        if verdict.refusal is not None or below:
            found.append(Step(name, verdict.refusal, field.type.shape, below))
    return tuple(found)


def reachable() -> dict[str, tuple[str, ...]]:
    """Every type a Pod can hold by way of fields that are not refused as a whole -> the fields that lead to it (the shortest way)."""
    found: dict[str, tuple[str, ...]] = {ROOT: ()}
    waiting = [ROOT]
    while waiting:
        model = waiting.pop(0)
        for name, field in schema.fields(model).items():
            verdict = TYPES.get(model, {}).get(name)
            base = field.type.base
            if base not in schema.SCALARS and base not in found and (verdict is None or _is_entered(verdict)):
                found[base] = (*found[model], name)
                waiting.append(base)
    return found


def refused_with_their_field() -> Iterator[tuple[str, str]]:
    """(type, field that leads there and is refused) for every type that nothing else leads to."""
    entered = reachable()
    seen = set(entered)
    waiting = [(base, f"{model}.{name}") for model in entered for name, base in _leads(model) if base not in seen]
    while waiting:
        model, by = waiting.pop(0)
        if model not in seen:
            seen.add(model)
            yield model, by
            waiting += [(base, by) for _, base in _leads(model)]


def _leads(model: str) -> list[tuple[str, str]]:
    return [(name, field.type.base) for name, field in schema.fields(model).items() if field.type.base not in schema.SCALARS]


def _is_entered(verdict: Verdict) -> bool:
    """Whether a Pod can run with the field set, so that the type it leads to needs verdicts of its own."""
    return not (verdict.kind in (Kind.REFUSED, Kind.REFUSED_BY_API) and verdict.when is None)
