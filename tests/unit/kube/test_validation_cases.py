"""Invalid and edge-case objects are refused (or taken) in the very words of a real API server.

The cases that need a running server (names against the URL, patches, deletes, bindings) belong to the tests of ``api``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from podspace import errors
from podspace.kube import admission, decode, defaults, names, qos, resources, strict, validation
from podspace.kube.json import JSON
from tests.unit.kube import facts

pytestmark = facts.needs

NOT_HERE = re.compile(r"meta-namespace-(mismatch|not-found)|resourceversion-on-create|fieldvalidation-bad|update-not-found")
DIFFERENCE = re.compile(r"\n@@.*", re.DOTALL)
PLURALS = {"pods": resources.PODS, "configmaps": resources.CONFIGMAPS, "secrets": resources.SECRETS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    head: str
    documents: list[Any]
    raw: bytes | None
    answer: JSON
    warnings: list[str]


def _load(path: Path) -> Case:
    lines = path.read_text().splitlines(keepends=True)
    head = "".join(line for line in lines if line.startswith("# "))
    body = "".join(line for line in lines if not line.startswith("# "))
    raw = body.rstrip("\n").encode() if "raw body below" in head else None
    documents = [] if raw is not None else [yaml.load(part, yaml.CSafeLoader) for part in re.split(r"^---$", body, flags=re.MULTILINE)]
    warnings = [re.sub(r"\\(.)", r"\1", text) for text in re.findall(r'299 - "((?:[^"\\]|\\.)*)"', head)]
    return Case(head=head, documents=documents, raw=raw, answer=json.loads(path.with_suffix(".json").read_text()), warnings=warnings)


def _paths(pattern: str) -> list[Any]:
    if not facts.present():
        return []
    files = sorted((facts.FACTS / "invalid").glob("*.yaml"))
    chosen = [path for path in files if re.search(pattern, path.read_text()) and not NOT_HERE.search(path.name)]
    return [pytest.param(path, id=path.stem) for path in chosen]


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _create(body: bytes, content_type: str, plural: str, validation_mode: str) -> tuple[JSON, list[str]]:
    """A POST without the store, the parts of it that are ``api``'s done in the shortest way."""
    resource = PLURALS[plural]
    decoded = decode.decode(body, content_type, resource, field_validation=validation_mode)
    obj = decoded.obj
    for name in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "uid"):
        obj["metadata"].pop(name, None)
    obj["metadata"].setdefault("namespace", "default")
    if not obj["metadata"].get("name") and obj["metadata"].get("generateName"):
        obj["metadata"]["name"] = names.generate(obj["metadata"]["generateName"])
    defaults.apply(resource.kind, obj)
    if resource.kind == "Pod":
        admission.admit_pod(obj)
        obj["metadata"]["generation"] = 1
        obj["status"] = {"phase": "Pending", "qosClass": qos.qos_class(obj["spec"])}
    causes = validation.validate_create(resource.kind, obj)
    if causes:
        raise errors.Invalid(resource.kind, obj["metadata"].get("name", ""), causes)
    if resource.kind == "Pod":
        admission.check_pod(obj, runtimes=())
    return obj, [*decoded.warnings, *validation.warnings(resource.kind, obj)]


@pytest.mark.parametrize("path", _paths(r"\A# POST /api/v1/namespaces/\w+/(pods|configmaps|secrets)[? ]"))
def test_a_new_object_is_answered_as_by_a_real_server(path: Path) -> None:
    case = _load(path)
    request = re.search(r"/(pods|configmaps|secrets)(?:\?fieldValidation=(\w*))?(?:.*Content-Type: (\S+))?", case.head)
    assert request
    body = case.raw if case.raw is not None else _dump(case.documents[0])
    if case.answer["kind"] == "Status":
        with pytest.raises(errors.PodspaceError) as caught:
            _create(body, request[3], request[1], request[2] or "")
        assert str(caught.value) == case.answer["message"]
        _same_causes(caught.value, case.answer)
        return
    obj, warnings = _create(body, request[3], request[1], request[2] or "")
    told = [text for text in warnings if "stopSignal: dropped" not in text]  # a real server says nothing of it
    assert told[-1:] == case.warnings  # the recorder kept the last header only
    assert obj == case.answer


def _same_causes(problem: errors.PodspaceError, answer: JSON) -> None:
    if isinstance(problem, errors.Invalid):
        shown = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in problem.causes]
        for cause in (*shown, *answer["details"]["causes"]):
            cause["message"] = DIFFERENCE.sub("", cause["message"])
        assert shown == answer["details"]["causes"]


def _stored(document: JSON) -> JSON:
    obj, _ = _create(_dump(document), "application/json", "pods", "Strict")
    return obj


@pytest.mark.parametrize("path", _paths(r"# step 2: PUT /api/v1/namespaces/default/pods/p\?"))
def test_an_update_is_answered_as_by_a_real_server(path: Path) -> None:
    case = _load(path)
    old = _stored(case.documents[0])
    new = decode.decode(_dump(case.documents[1]), "application/json", resources.PODS, field_validation="Strict").obj
    defaults.apply("Pod", new)
    for name in ("uid", "creationTimestamp", "resourceVersion"):
        new["metadata"].pop(name, None)
    _compare_update(case, validation.validate_update("Pod", new, old))


SUBRESOURCE_STEPS = r"# step 2: PATCH /api/v1/namespaces/default/pods/p/(ephemeralcontainers|resize|status)"


@pytest.mark.parametrize("path", _paths(SUBRESOURCE_STEPS))
def test_an_update_of_a_subresource_is_answered_as_by_a_real_server(path: Path) -> None:
    case = _load(path)
    found = re.search(SUBRESOURCE_STEPS, case.head)
    assert found
    old = _stored(case.documents[0])
    merged = json.loads(json.dumps(old))
    _merge(merged, {key: value for key, value in case.documents[1].items() if key in ("spec", "status")}, found[1])
    new = strict.normalize(merged, "Pod")
    defaults.apply("Pod", new)
    _compare_update(case, validation.validate_update("Pod", new, old, found[1]))


def _merge(target: JSON, patch: JSON, subresource: str) -> None:
    """As much of a strategic merge as these cases need."""
    if subresource == "status":
        target["status"].update(patch["status"])
    elif subresource == "ephemeralcontainers":
        target["spec"]["ephemeralContainers"] = patch["spec"]["ephemeralContainers"]
    else:
        for side, amounts in patch["spec"]["containers"][0]["resources"].items():
            held = target["spec"]["containers"][0]["resources"][side]
            held.update(amounts)
            for name in [name for name, amount in held.items() if amount is None]:
                del held[name]


def _compare_update(case: Case, causes: list[errors.Cause]) -> None:
    if case.answer["kind"] != "Status":
        assert causes == []
        return
    problem = errors.Invalid("Pod", "p", causes)
    assert DIFFERENCE.sub("", str(problem)) == DIFFERENCE.sub("", case.answer["message"])
    _same_causes(problem, case.answer)
