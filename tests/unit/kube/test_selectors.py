"""Label and field selectors: what they match, and the API server's words for what it cannot read."""

from __future__ import annotations

import urllib.parse
from typing import Any

import pytest

from podspace import errors
from podspace.kube import resources, selectors
from podspace.kube.json import JSON

LABELS = {"app": "web", "tier": "front", "example.com/n": "7", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=db", False),
        ("app!=db", True),
        ("nope!=x", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("nope notin (x)", True),
        ("app notin (web)", False),
        ("app", True),
        ("!app", False),
        ("!nope", True),
        ("nope", False),
        ("example.com/n>6", True),
        ("example.com/n<7", False),
        ("app>1", False),
        ("empty=", True),
        ("app=,tier=front", False),
        ("empty in (,x)", True),
        ("empty in (x,)", True),
        ("app in (a,,b)", False),
        ("app=web,tier in (front),!zz", True),
        ("app=web,tier=back", False),
        ("in in (in),notin", False),
    ],
)
def test_a_label_selector_matches(text: str, matches: bool) -> None:
    selector = selectors.parse_labels(text)
    assert selector.matches(LABELS) is matches
    assert bool(selector) is bool(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!=b", "found '!=', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in ()", "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "-a=b",
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' or "
            "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
            "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
    ],
)
def test_a_label_selector_that_cannot_be_read_is_a_bad_request(text: str, message: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        selectors.parse_labels(text)
    assert str(caught.value) == message


def test_a_bad_label_value_is_named_with_its_place() -> None:
    with pytest.raises(errors.BadRequest, match=r'values\[1\]\[a\]: Invalid value: "c\*d": a valid label must be'):
        selectors.parse_labels("a in (b, c*d)")


POD: JSON = {
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"nodeName": "node-1", "hostNetwork": True},
    "status": {"phase": "Running", "podIP": "10.0.0.1"},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=p", True),
        ("metadata.name==q", False),
        ("status.phase!=Running", False),
        ("status.phase=Running,spec.nodeName=node-1", True),
        ("spec.nodeName=", False),
        ("status.nominatedNodeName=", True),
        ("spec.hostNetwork=true", True),
        ("spec.host=node-1", True),
        ("status.podIP=10.0.0.1,", True),
        ("metadata.name=a\\,b", False),
    ],
)
def test_a_field_selector_matches(text: str, matches: bool) -> None:
    selector = selectors.parse_fields(resources.PODS, text)
    assert selector.matches(POD) is matches
    assert bool(selector) is bool(text)


def test_escaped_characters_stand_for_themselves() -> None:
    selector = selectors.parse_fields(resources.PODS, r"metadata.name=a\,b\=c\\d,metadata.namespace=n")
    assert (selector.exact("metadata.name"), selector.exact("metadata.namespace")) == ("a,b=c\\d", "n")


def test_only_an_equality_is_exact() -> None:
    selector = selectors.parse_fields(resources.PODS, "metadata.name!=p")
    assert selector.exact("metadata.name") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("metadata.name in (a)", "invalid selector: 'metadata.name in (a)'; can't understand 'metadata.name in (a)'"),
        ("spec.foo=1", "field label not supported: spec.foo"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        (r"metadata.name=a\b", r"invalid field selector: invalid escape sequence: \b"),
        ("metadata.name=a\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_field_selector_that_cannot_be_read_is_a_bad_request(text: str, message: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        selectors.parse_fields(resources.PODS, text)
    assert str(caught.value) == message


def test_events_are_selected_in_both_their_shapes() -> None:
    core: JSON = {"metadata": {}, "involvedObject": {"name": "p"}, "source": {"component": "kubelet"}, "reason": "Pulled"}
    other: JSON = {"metadata": {}, "regarding": {"name": "p"}, "reportingController": "kubelet", "reason": "Pulled"}
    text = "involvedObject.name=p,source=kubelet,reason=Pulled"
    assert all(selectors.parse_fields(resources.EVENTS, text).matches(event) for event in (core, other))
    assert selectors.parse_fields(resources.EVENTS_V1, "regarding.name=p").matches(core)


def test_observed_field_labels_are_known_or_refused_as_observed() -> None:
    from tests.unit.kube import observed

    observed.needs_facts()
    for plural, fields in observed.sample("list-field-selectors")["result"].items():
        resource = resources.by_name(plural)
        assert resource is not None
        for field, (status, message) in fields.items():
            assert (plural, field, _answer(lambda r=resource, f=field: selectors.parse_fields(r, f"{f}=x"))) == (
                plural,
                field,
                (status, message),
            )


def test_observed_selectors_are_read_or_refused_as_observed() -> None:
    from tests.unit.kube import observed

    observed.needs_facts()
    for name in ("list-label-selectors", "list-field-selector-syntax"):
        for exchange in observed.exchanges(name):
            path, response = exchange["request"]["path"], exchange["response"]
            query = dict(urllib.parse.parse_qsl(path.partition("?")[2]))
            answer = _answer(
                lambda query=query: (
                    selectors.parse_labels(query.get("labelSelector", "")),
                    selectors.parse_fields(resources.PODS, query.get("fieldSelector", "")),
                )
            )
            assert answer == (response["status"], response["body"].get("message", "ok")), path


def _answer(parse: Any) -> tuple[int, str]:
    try:
        parse()
    except errors.BadRequest as error:
        return 400, str(error)
    return 200, "ok"
