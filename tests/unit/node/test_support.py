"""What the ledger says is refused is refused: each such field is set in a Pod of its own, and that Pod is not run."""

from __future__ import annotations

from typing import Any

import pytest

from podspace import errors
from podspace.kube import admission, schema, validation
from podspace.kube.fields import table
from podspace.kube.fields.verdict import Kind, Verdict
from podspace.node import admission as node_admission
from podspace.node import scheduler, support

SCALARS: dict[str, Any] = {
    "string": "x",
    "bool": True,
    "int32": 1,
    "int64": 1,
    "quantity": "1",
    "intstr": 1,
    "time": "2026-01-01T00:00:00Z",
}
ENTRIES = [(model, name, verdict) for model, fields in table.TYPES.items() for name, verdict in fields.items()]
REFUSED = [(model, name, verdict.refusal) for model, name, verdict in ENTRIES if verdict.refusal]
BY_API = [(model, name, verdict) for model, name, verdict in ENTRIES if verdict.kind is Kind.REFUSED_BY_API]
NODE = {"metadata": {"name": "n"}, "spec": {}}


def some(kind: schema.Type) -> Any:
    """A value of a type that asks for something."""
    if kind.shape:
        return [some(kind.element)] if kind.shape.startswith("[]") else {"x": some(kind.element)}
    if kind.base in SCALARS:
        return SCALARS[kind.base]
    name, field = next(iter(schema.fields(kind.base).items()))
    return {name: some(field.type)}


def within(model: str, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """An object of the model in which the path leads to the value."""
    name, *rest = path
    kind = schema.fields(model)[name].type
    inner = within(kind.base, tuple(rest), value) if rest else value
    return {name: [inner] if kind.shape and rest else inner}


def pod_with(model: str, name: str, value: Any) -> dict[str, Any]:
    way = table.reachable()[model]
    spec = within(table.ROOT, (*way, name), value)
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "x"}]} | spec}


@pytest.mark.parametrize(("model", "name", "refusal"), REFUSED, ids=[f"{model}.{name}" for model, name, _ in REFUSED])
def test_a_refused_field_keeps_its_pod_from_running_and_says_why(model: str, name: str, refusal: Verdict) -> None:
    value = some(schema.fields(model)[name].type) if refusal.when is None else refusal.example
    pod = pod_with(model, name, value)
    found = support.unsupported(pod)
    assert [(path.rpartition(".")[2], why) for path, why in found] == [(name, refusal.text)]
    said = scheduler.misfit(pod, NODE)
    assert said is not None
    assert said.endswith(f"{name} ({refusal.text}).")
    bound = node_admission.refusal(pod)
    assert bound is not None
    assert (bound.reason, bound.message + ".") == ("Unsupported", said)


@pytest.mark.parametrize(("model", "name", "verdict"), BY_API, ids=[f"{model}.{name}" for model, name, _ in BY_API])
def test_what_the_api_refuses_it_refuses_in_these_words(model: str, name: str, verdict: Verdict) -> None:
    pod = pod_with(model, name, some(schema.fields(model)[name].type))
    try:
        admission.admit_pod(pod)
        said = [cause.sentence() for cause in validation.validate_create("Pod", pod) if name in cause.field]
    except errors.Forbidden as error:
        said = [str(error)]
    assert any(verdict.text in sentence for sentence in said), said
