"""Bodies become canonical objects, or are refused with Go's sentences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podspace import errors
from podspace.kube import decode, gojson, gotime, goyaml, resources, strict
from podspace.kube.json import JSON

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}


def _pod(body: Any, mode: str = "Strict", content_type: str = "application/json") -> decode.Decoded:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode.decode(raw, content_type, resources.PODS, field_validation=mode)


def _refusal(body: Any, mode: str = "Strict", content_type: str = "application/json") -> str:
    with pytest.raises(errors.BadRequest) as caught:
        _pod(body, mode, content_type)
    return str(caught.value).removeprefix('Pod in version "v1" cannot be handled as a Pod: ')


def test_kind_and_apiversion_are_filled_in() -> None:
    assert list(_pod({"metadata": {"name": "p"}}).obj)[:2] == ["kind", "apiVersion"]


def test_members_come_out_in_the_order_of_the_go_struct() -> None:
    obj = _pod({"spec": {"restartPolicy": "Never", "containers": [{"tty": True, "image": "x", "name": "a"}]}, **POD}).obj
    assert list(obj["spec"]) == ["containers", "restartPolicy"]
    assert list(obj["spec"]["containers"][0]) == ["name", "image", "resources", "tty"]


def test_zeros_of_plain_fields_are_dropped_and_of_pointers_kept() -> None:
    spec = _pod({"spec": {"hostPID": False, "shareProcessNamespace": False, "nodeName": "", "volumes": [], "containers": []}}).obj["spec"]
    assert spec == {"containers": [], "shareProcessNamespace": False}


def test_nulls_are_as_if_absent() -> None:
    obj = _pod({"metadata": {"name": "p", "labels": None}, "spec": {"containers": [None], "hostPID": None}}).obj
    assert obj["metadata"] == {"name": "p"}
    assert obj["spec"]["containers"] == [{"name": "", "resources": {}}]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"hostPID": 1}, "json: cannot unmarshal number into Go struct field PodSpec.spec.hostPID of type bool"),
        ({"restartPolicy": 1}, "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
        ({"containers": {}}, "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ({"containers": ["x"]}, "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container"),
        (
            {"volumes": [{"name": "v", "configMap": {"name": 5}}]},
            "json: cannot unmarshal number into Go struct field "
            "ConfigMapVolumeSource.spec.volumes.VolumeSource.configMap.LocalObjectReference.name of type string",
        ),
        (
            {"ephemeralContainers": [{"name": 5}]},
            "json: cannot unmarshal number into Go struct field "
            "EphemeralContainer.spec.ephemeralContainers.EphemeralContainerCommon.name of type string",
        ),
        (
            {"containers": [{"livenessProbe": {"exec": 5}}]},
            "json: cannot unmarshal number into Go struct field "
            "Probe.spec.containers.livenessProbe.ProbeHandler.exec of type v1.ExecAction",
        ),
        ({"priority": 1.5}, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
        ({"priority": 2**31}, f"json: cannot unmarshal number {2**31} into Go struct field PodSpec.spec.priority of type int32"),
        ({"nodeSelector": []}, "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type map[string]string"),
        ({"overhead": {"cpu": True}}, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        (
            {"containers": [{"livenessProbe": {"httpGet": {"port": True}}}]},
            "json: cannot unmarshal bool into Go struct field "
            "HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32",
        ),
        (
            {"containers": [{"ports": [{"containerPort": 80, "protocol": 6}]}]},
            "json: cannot unmarshal number into Go struct field ContainerPort.spec.containers.ports.protocol of type v1.Protocol",
        ),
    ],
)
def test_a_wrong_type_is_named_as_go_names_it(spec: JSON, sentence: str) -> None:
    assert _refusal({**POD, "spec": spec}) == sentence


def test_of_two_wrong_types_the_first_in_the_document_is_named() -> None:
    assert "hostPID" in _refusal(b'{"spec":{"hostPID":1,"containers":1}}')
    assert "containers" in _refusal(b'{"spec":{"containers":1,"hostPID":1}}')


def test_unknown_fields_are_listed_as_they_come() -> None:
    body = {"spec": {"foo": 1, "containers": [{"nme": "a"}]}, "statuss": {}}
    listed = 'unknown field "spec.foo", unknown field "spec.containers[0].nme", unknown field "statuss"'
    assert _refusal(body) == f"strict decoding error: {listed}"
    assert _pod(body, "Warn").warnings == listed.split(", ")
    assert _pod(body, "").warnings == listed.split(", ")
    assert _pod(body, "Ignore").warnings == []


def test_a_repeated_field_is_an_error_only_when_strict_and_the_last_one_wins() -> None:
    body = b'{"metadata":{"name":"p","labels":{"a":"1","a":"2"}},"spec":{"hostPID":true,"hostPID":false}}'
    assert _refusal(body) == 'strict decoding error: duplicate field "metadata.labels.a", duplicate field "spec.hostPID"'
    assert _pod(body, "Ignore").obj["metadata"]["labels"] == {"a": "2"}


def test_the_kind_of_another_group_is_refused() -> None:
    sentence = 'no kind "Pod" is registered for version "v2" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
    with pytest.raises(errors.BadRequest) as caught:
        _pod({"apiVersion": "v2", "kind": "Pod"})
    assert str(caught.value) == f'Pod in version "v2" cannot be handled as a Pod: {sentence}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b"{]", "invalid character ']' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"nul", "unexpected end of JSON input"),
        (b"nulx", "invalid character 'x' in literal null (expecting 'l')"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"-", "unexpected end of JSON input"),
        (b'"\x01"', "invalid character '\\x01' in string literal"),
    ],
)
def test_what_is_not_json_is_refused_as_by_go(body: bytes, sentence: str) -> None:
    assert gojson.complaint(body) == sentence


def test_deeply_nested_json_is_refused_not_fatal() -> None:
    assert "exceeded max depth" in _refusal(b'{"a":' * 100_000)


def test_the_refusal_shows_how_the_body_begins() -> None:
    assert _refusal(b"x=1").endswith("invalid character 'x' looking for beginning of value (783d31)")
    assert _refusal(b'{"a": tru, "b": "a long rest of the text"}').endswith('({"a": tru, "b": "a long rest o ...)')


def test_other_media_types_are_refused() -> None:
    with pytest.raises(errors.UnsupportedMediaType, match="accepted media types include: application/json, application/yaml"):
        _pod(b"x", content_type="text/plain")


def test_parameters_of_the_media_type_do_not_matter() -> None:
    assert _pod({"metadata": {"name": "p"}}, content_type="application/json; charset=utf-8").obj["metadata"]["name"] == "p"
    assert _pod({"metadata": {"name": "p"}}, content_type="").obj["metadata"]["name"] == "p"


def test_a_repeated_key_of_yaml_names_the_line() -> None:
    body = b"metadata:\n  name: p\nspec:\n  hostPID: true\n  containers: []\n  hostPID: false\n"
    sentence = 'strict decoding error: yaml: unmarshal errors:\n  line 6: key "hostPID" already set in map'
    assert _refusal(body, content_type="application/yaml") == sentence


def test_yaml_scalars_mean_what_go_yaml_says() -> None:
    text = b"a: 1e3\nb: 0644\nc: yes\nd: 1:30\ne: 2001-01-01\nf: !!str 5\ng: .5\nh: ~\ni: 1_000\nj: 'on'\n1: x\n"
    value, complaints = goyaml.load(text)
    assert complaints == []
    assert value == {
        "1": "x",
        "a": 1000,
        "b": 420,
        "c": True,
        "d": "1:30",
        "e": "2001-01-01",
        "f": "5",
        "g": 0.5,
        "h": None,
        "i": 1000,
        "j": "on",
    }


def test_yaml_merges_maps_and_the_own_key_wins() -> None:
    assert goyaml.load(b"p: &p {a: 1, b: 2}\nq: {<<: *p, b: 3}\n")[0]["q"] == {"a": 1, "b": 3}


def test_a_yaml_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ValueError, match="excessive aliasing"):
        goyaml.load("\n".join(lines).encode())


def test_yaml_with_an_escaped_apostrophe_is_read() -> None:
    assert goyaml.load(b'a: "it\\\'s"\n')[0] == {"a": "it's"}


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-01T02:00:00+02:00", "2020-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00.123456789Z", "2020-01-01T00:00:00Z"),
    ],
)
def test_times_are_printed_in_utc_by_the_second(text: str, printed: str) -> None:
    assert gotime.canonical(text) == printed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2020", 'parsing time "2020" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "-"'),
        ("2020-13-01T00:00:00Z", 'parsing time "2020-13-01T00:00:00Z": month out of range'),
        ("2020-02-30T00:00:00Z", 'parsing time "2020-02-30T00:00:00Z": day out of range'),
    ],
)
def test_a_bad_time_is_refused_as_by_go(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="parsing time") as caught:
        gotime.canonical(text)
    assert str(caught.value) == sentence


def test_normalize_and_check_serve_patched_objects() -> None:
    patched = {"kind": "Pod", "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "0.5"}}}], "foo": 1}}
    assert strict.check(patched, "Pod") == ['unknown field "spec.foo"']
    assert strict.normalize(patched, "Pod")["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}}
    assert "foo" in patched["spec"]


def test_secret_data_must_be_base64() -> None:
    with pytest.raises(errors.BadRequest, match="illegal base64 data at input byte 2"):
        decode.decode(b'{"data":{"a":"eA!="}}', "application/json", resources.SECRETS)


def test_options_may_be_absent_and_may_hold_anything_unknown() -> None:
    assert decode.decode_options(b"", "", "DeleteOptions") == {}
    options = decode.decode_options(b'{"gracePeriodSeconds":0,"foo":1}', "application/json", "DeleteOptions")
    assert options["gracePeriodSeconds"] == 0
    assert "foo" not in options


def test_options_of_another_kind_are_refused() -> None:
    with pytest.raises(errors.BadRequest) as caught:
        decode.decode_options(b'{"apiVersion":"v1","kind":"Pod"}', "application/json", "Eviction")
    sentence = 'Pod in version "v1" cannot be handled as a Eviction: converting (v1.Pod) to (policy.Eviction): unknown conversion'
    assert str(caught.value) == sentence


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [201, 900, 100_000])
def test_what_nests_too_deep_for_those_who_come_after_is_refused_at_once(bracket: str, depth: int) -> None:
    text = '{"metadata":{"annotations":' + bracket * depth + "1" + {"[": "]", '{"a":': "}"}[bracket] * depth + "}}"
    with pytest.raises(ValueError, match="exceeded max depth"):
        decode.parse_json(text.encode())


def test_brackets_in_strings_and_beside_each_other_do_not_nest() -> None:
    text = json.dumps([{"a": '{[\\"' * 500}, *([[]] * 500)])
    assert len(decode.parse_json(text.encode())) == 501


@pytest.mark.parametrize(
    ("escaped", "character"),
    [(r"\ud800", "\ufffd"), (r"\udc00x", "\ufffdx"), (r"\uD83D\uDE00", "\U0001f600"), (r"\\ud800", r"\ud800")],
)
def test_half_a_pair_of_escapes_is_no_character(escaped: str, character: str) -> None:
    obj = _pod(b'{"metadata":{"name":"p","annotations":{"a":"%s"}}}' % escaped.encode()).obj
    assert obj["metadata"]["annotations"]["a"] == character


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    obj = _pod(b'{"metadata":{"name":"p","annotations":{"a":"\xff\xed\xa0\x80"}}}').obj
    assert obj["metadata"]["annotations"]["a"].strip("\ufffd") == ""
