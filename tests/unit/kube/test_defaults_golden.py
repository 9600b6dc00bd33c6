"""Every example manifest of the Kubernetes documentation comes out as a real API server answers it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from podspace import errors
from podspace.kube import admission, decode, defaults, goyaml, qos, resources, validation
from podspace.kube.json import JSON
from tests.unit.kube import facts

pytestmark = facts.needs


def _cases() -> list[Any]:
    if not facts.present():
        return []
    index = json.loads((facts.FACTS / "golden" / "INDEX.json").read_text())
    served = [entry for entry in index if resources.by_kind(entry.get("kind") or "")]
    return [pytest.param(entry, id=entry["path"]) for entry in served]


def _created(resource: resources.Resource, body: bytes, content_type: str) -> tuple[JSON, list[str]]:
    """What ``api`` does with a POST, without the store."""
    decoded = decode.decode(body, content_type, resource, field_validation="Strict")
    obj = decoded.obj
    kind = resource.kind
    defaults.apply(kind, obj)
    if kind == "Pod":
        admission.admit_pod(obj)
    causes = validation.validate_create(kind, obj)
    if causes:
        raise errors.Invalid(kind, obj["metadata"].get("name", ""), causes)
    return obj, [*decoded.warnings, *validation.warnings(kind, obj)]


def _body(entry: JSON) -> tuple[bytes, str]:
    """The document of a file the golden is about, as the recorder posted it: JSON, or the raw file where PyYAML cannot read it."""
    text = (facts.EXAMPLES / entry["path"]).read_text()
    if "application/yaml" in entry.get("note", ""):
        return text.encode(), "application/yaml"
    for part in re.split(r"^---.*$", text, flags=re.MULTILINE):
        document = goyaml.load(part.encode())[0]
        if document and document["kind"] == entry["kind"] and entry["name"] in (None, document["metadata"].get("name")):
            return json.dumps(document, default=lambda number: number.text).encode(), "application/json"
    raise AssertionError(f"no {entry['kind']} in {entry['path']}")


def _golden(entry: JSON) -> JSON:
    answer: Any = json.loads((facts.FACTS / "golden" / f"{entry['path']}.json").read_text())
    answers: list[JSON] = answer if isinstance(answer, list) else [answer]
    return next(
        one for one in answers if one["kind"] == "Status" or (one["kind"], one["metadata"]["name"]) == (entry["kind"], entry["name"])
    )


@pytest.mark.parametrize("entry", _cases())
def test_an_example_is_answered_as_by_a_real_server(entry: JSON) -> None:
    resource = resources.by_kind(entry["kind"])
    assert resource is not None
    golden = _golden(entry)
    if golden["kind"] == "Status":
        with pytest.raises(errors.PodspaceError) as caught:
            _created(resource, *_body(entry))
        assert str(caught.value) == golden["message"]
        return
    obj, warnings = _created(resource, *_body(entry))
    last = [f'299 - "{text}"' for text in (warning.replace('"', '\\"') for warning in warnings)][-1:]
    assert last == ([entry["warnings"]] if "warnings" in entry else [])  # the recorder kept the last header only
    _compare(obj, golden, entry["kind"])


def _compare(obj: JSON, golden: JSON, kind: str) -> None:
    for name in ("namespace", "generation"):
        golden["metadata"].pop(name, None)
        obj["metadata"].pop(name, None)
    if kind == "Pod":
        assert golden.pop("status")["qosClass"] == qos.qos_class(obj["spec"])
        obj.pop("status")
        assert list(obj["spec"]) == list(golden["spec"])
    assert obj == golden
    assert json.dumps(obj) == json.dumps(golden)


def test_stringdata_wins_over_data() -> None:
    secret = {"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "hello"}}
    defaults.apply("Secret", secret)
    assert secret["data"] == {"a": base64.b64encode(b"hello").decode(), "b": "eQ=="}
    assert "stringData" not in secret


def _with_account() -> list[Any]:
    folder = facts.FACTS / "golden" / "_with-serviceaccount"
    return [pytest.param(path, id=str(path.relative_to(folder))) for path in sorted(folder.rglob("*.json"))] if facts.present() else []


@pytest.mark.parametrize("path", _with_account())
def test_a_token_is_mounted_as_a_real_server_does_where_the_account_says_so(path: Path) -> None:
    """There every account does unless it says otherwise; here ``default`` has to say so."""
    golden = json.loads(path.read_text())
    example = facts.EXAMPLES / path.relative_to(facts.FACTS / "golden" / "_with-serviceaccount").with_suffix("")
    obj = decode.decode(example.read_bytes(), "application/yaml", resources.PODS).obj
    defaults.apply("Pod", obj)
    if golden["kind"] == "Status":
        assert "the namespace of the provided object does not match" in golden["message"]
        assert obj["metadata"]["namespace"] != "default"
        return
    admission.admit_service_account(obj, {"automountServiceAccountToken": True})
    admission.admit_pod(obj)
    names = [re.compile(r"kube-api-access-\w{5}").sub("kube-api-access-x", json.dumps(one["spec"])) for one in (obj, golden)]
    assert json.loads(names[0]) == json.loads(names[1])
