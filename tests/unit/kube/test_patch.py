"""The three patch formats: their standards' own examples, directives, and that nothing is changed in place."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from podspace import errors
from podspace.kube import patch
from podspace.kube.gotext import go_print
from podspace.kube.json import JSON

REJECTED = "the server rejected our request due to an error in our request"


def op(verb: str, path: str, **members: Any) -> JSON:
    return {"op": verb, "path": path, **members}


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ({"a": 1}, op("add", "/b", value=2), {"a": 1, "b": 2}),
        ({"a": [1, 3]}, op("add", "/a/1", value=2), {"a": [1, 2, 3]}),
        ({"a": [1]}, op("add", "/a/-", value=[2]), {"a": [1, [2]]}),
        ({"a": [1, 2]}, op("add", "/a/2", value=3), {"a": [1, 2, 3]}),
        ({"a": 1}, op("add", "/a", value=None), {"a": None}),
        ({"a": [1, 2]}, op("remove", "/a/0"), {"a": [2]}),
        ({"a": [1, 2]}, op("remove", "/a/-1"), {"a": [1]}),
        ({"a": {"b": 1}}, op("replace", "/a/b", value=2), {"a": {"b": 2}}),
        ({"a": 1}, op("replace", "", value={"b": 2}), {"b": 2}),
        ({"a": {"b": 1}, "c": {}}, op("move", "/c/d", **{"from": "/a/b"}), {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2, 3]}, op("move", "/a/2", **{"from": "/a/0"}), {"a": [2, 3, 1]}),
        ({"a": {"b": 1}}, op("copy", "/c", **{"from": "/a"}), {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a~b/c": 1}, op("test", "/a~0b~1c", value=1), {"a~b/c": 1}),
        ({"a": 1.0}, op("test", "/a", value=1), {"a": 1.0}),
        ({"a": {}}, op("test", "/a/b", value=None), {"a": {}}),
        ({"~01": 1}, op("remove", "/~001"), {}),
    ],
)
def test_a_json_patch_operation_applies(before: JSON, operation: JSON, after: JSON) -> None:
    untouched = copy.deepcopy(before)
    assert patch.json_patch(before, [operation]) == after
    assert before == untouched


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "/x/y", value=1),
        op("add", "/l/4", value=1),
        op("add", "/l/01", value=1),
        op("add", "/l/x", value=1),
        op("add", "/a"),
        op("add", "a", value=1),
        op("add", "/a/b", value=1),
        op("remove", "/x"),
        op("remove", "/l/2"),
        op("remove", ""),
        op("replace", "/x", value=1),
        op("replace", "", value=[]),
        op("test", "/a", value=True),
        op("test", "/x/y", value=None),
        op("move", "/o/p/q", **{"from": "/o"}),
        op("move", "/x"),
        op("copy", "/x", **{"from": "/nope"}),
        op("foo", "/a"),
        {"path": "/a"},
        {"op": "add", "value": 1},
        {"op": ["add"], "path": "/a"},
    ],
)
def test_any_operation_that_fails_is_the_same_422(operation: JSON) -> None:
    with pytest.raises(errors.Invalid) as caught:
        patch.json_patch({"a": 1, "l": [1, 2], "o": {"p": {}}}, [operation])
    assert (str(caught.value), caught.value.kind, caught.value.causes) == (REJECTED, "", ())


def test_a_json_patch_that_is_no_list_of_objects_is_a_bad_request() -> None:
    with pytest.raises(errors.BadRequest, match=r"^json: cannot unmarshal object into Go value of type jsonpatch\.Patch$"):
        patch.json_patch({}, {})
    with pytest.raises(errors.BadRequest, match="cannot unmarshal string"):
        patch.json_patch({}, ["x"])
    with pytest.raises(errors.TooLarge, match=r"^The allowed maximum operations in a JSON patch is 10000, got 10001$"):
        patch.json_patch({}, [{}] * 10001)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_shows(before: JSON, change: JSON, after: JSON) -> None:
    untouched = copy.deepcopy(before)
    assert patch.merge_patch(before, change) == after
    assert before == untouched


@pytest.mark.parametrize(("body", "name"), [([], "array"), ("x", "string"), (1, "number"), (True, "bool"), (None, "null")])
def test_a_merge_patch_must_be_an_object(body: Any, name: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        patch.merge_patch({}, body)
    assert str(caught.value) == f"error decoding patch: json: cannot unmarshal {name} into Go value of type map[string]interface {{}}"


def pod(*containers: str, **spec: Any) -> JSON:
    return {"metadata": {}, "spec": {"containers": [{"name": name, "image": name} for name in containers], **spec}}


def names(result: JSON, field: str = "containers") -> list[str]:
    return [element["name"] for element in result["spec"][field]]


def strategic(obj: JSON, **spec: Any) -> JSON:
    return patch.strategic_merge("Pod", obj, {"spec": spec})


def test_element_order_decides_and_what_only_the_server_has_keeps_its_place() -> None:
    order = [{"name": name} for name in ("d", "a", "c")]
    result = strategic(pod("a", "b", "c"), **{"$setElementOrder/containers": order, "containers": [{"name": "d"}]})
    assert names(result) == ["d", "a", "b", "c"]


def test_element_order_alone_reorders() -> None:
    result = strategic(pod("a", "b"), **{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})
    assert names(result) == ["b", "a"]


def test_element_order_with_a_new_list_sorts_it_and_drops_deletions() -> None:
    change = {
        "$setElementOrder/initContainers": [{"name": "x"}, {"name": "y"}],
        "initContainers": [{"name": "x", "image": "1"}, {"name": "gone", "$patch": "delete"}, {"name": "y", "image": "2"}],
    }
    assert names(strategic(pod("a"), **change), "initContainers") == ["x", "y"]


def test_deleted_elements_need_not_be_in_the_element_order() -> None:
    change = {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b", "$patch": "delete"}]}
    assert names(strategic(pod("a", "b"), **change)) == ["a"]


def test_the_order_of_finalizers_can_be_set_too() -> None:
    change = {"metadata": {"$setElementOrder/finalizers": ["z", "x"], "finalizers": ["z"]}}
    result = patch.strategic_merge("ConfigMap", {"metadata": {"finalizers": ["x", "y"]}}, change)
    assert result["metadata"]["finalizers"] == ["z", "x", "y"]


def test_an_element_order_for_an_unknown_field_is_an_error() -> None:
    with pytest.raises(errors.Internal, match=r'^unable to find api field in struct PodSpec for the json field "nope"$'):
        strategic(pod("a"), **{"$setElementOrder/nope": []})


def test_an_element_without_its_merge_key_is_refused_only_if_there_is_something_to_merge_with() -> None:
    with pytest.raises(errors.Internal, match=r"^map: map\[image:x\] does not contain declared merge key: name$"):
        strategic(pod("a"), containers=[{"image": "x"}])
    assert strategic(pod("a"), ephemeralContainers=[{"image": "x"}])["spec"]["ephemeralContainers"] == [{"image": "x"}]


def test_an_unknown_directive_is_refused_with_gos_print_of_the_map() -> None:
    with pytest.raises(errors.Internal, match=r"^unknown patch type: foo in map: map\[\$patch:foo name:a\]$"):
        strategic(pod("a"), containers=[{"name": "a", "$patch": "foo"}])
    with pytest.raises(errors.Internal, match=r"^unknown patch type: foo in map: map\[\$patch:foo\]$"):
        strategic(pod("a", securityContext={}), securityContext={"$patch": "foo"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volumes": [{"name": "v", "$retainKeys": "name"}]}, "invalid patch format of retainKeys"),
        ({"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}]}, "invalid patch format of retainKeys"),
        ({"$setElementOrder": []}, "invalid patch format of setElementOrder list"),
        ({"$deleteFromPrimitiveList": []}, "invalid patch format of primitive list"),
    ],
)
def test_malformed_directives_are_bad_requests(change: JSON, message: str) -> None:
    with pytest.raises(errors.BadRequest, match=f"^{message}$"):
        strategic(pod("a", volumes=[{"name": "v", "hostPath": {}}]), **change)


def test_null_in_a_merged_element_removes_a_field_and_means_nothing_in_a_new_one() -> None:
    result = strategic(pod("a"), containers=[{"name": "a", "image": None, "tty": True}, {"name": "b", "stdin": None}])
    assert result["spec"]["containers"] == [{"name": "a", "tty": True}, {"name": "b"}]


def test_directives_where_there_is_nothing_to_direct_leave_no_trace() -> None:
    change = {
        "nodeSelector": {"$patch": "replace", "k": "v"},
        "securityContext": {"$retainKeys": ["runAsUser"], "runAsUser": 1},
        "tolerations": [{"$patch": "replace"}, {"key": "k"}],
        "$deleteFromPrimitiveList/nope": ["x"],
    }
    spec = strategic(pod("a"), **change)["spec"]
    assert {key: spec[key] for key in spec if key != "containers"} == {
        "nodeSelector": {"k": "v"},
        "securityContext": {"runAsUser": 1},
        "tolerations": [{"key": "k"}],
    }


def test_both_ports_of_one_number_are_deleted_and_the_first_is_merged() -> None:
    ports: list[JSON] = [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}, {"containerPort": 81}]
    obj: JSON = {"spec": {"containers": [{"name": "a", "ports": ports}]}}
    merged = strategic(obj, containers=[{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}])
    assert merged["spec"]["containers"][0]["ports"] == [{**ports[0], "name": "web"}, *ports[1:]]
    deleted = strategic(obj, containers=[{"name": "a", "ports": [{"containerPort": 80, "$patch": "delete"}]}])
    assert deleted["spec"]["containers"][0]["ports"] == [{"containerPort": 81}]


def test_mixed_element_types_and_lists_of_lists_are_refused() -> None:
    obj: JSON = {"metadata": {"finalizers": ["a"]}}
    with pytest.raises(errors.Internal, match=r"^list element types are not identical: string int64$"):
        patch.strategic_merge("Pod", obj, {"metadata": {"finalizers": [1]}})
    with pytest.raises(errors.Invalid, match=REJECTED):
        patch.strategic_merge("Pod", {"metadata": {"finalizers": []}}, {"metadata": {"finalizers": [[1]]}})


@pytest.mark.parametrize("name", [{}, {"a": [1]}, ["x"], None, 7, True])
@pytest.mark.parametrize("more", [{}, {"$setElementOrder/containers": [{"name": "a"}, {"name": {}}]}, {"$patch": "delete"}])
def test_a_merge_key_of_a_wrong_type_matches_nothing_and_fails_no_worse_than_the_api_servers_errors(name: Any, more: JSON) -> None:
    before = {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    element = {"name": name, "image": "i"} | ({"$patch": "delete"} if "$patch" in more else {})
    change = {"containers": [element]} | {key: value for key, value in more.items() if key != "$patch"}
    try:
        merged = patch.strategic_merge("Pod", before, {"spec": change})
    except errors.PodspaceError:
        return
    assert {"name": "a"} in merged["spec"]["containers"]
    assert {"name": "b"} in merged["spec"]["containers"]


def test_kinds_without_a_schema_merge_their_metadata_only() -> None:
    obj: JSON = {"metadata": {"finalizers": ["a"]}, "spec": {"containers": [{"name": "a"}]}}
    result = patch.strategic_merge("Widget", obj, {"metadata": {"finalizers": ["b"]}, "spec": {"containers": [{"name": "b"}]}})
    assert result == {"metadata": {"finalizers": ["b", "a"]}, "spec": {"containers": [{"name": "b"}]}}


def test_go_print_is_as_fmt_prints() -> None:
    assert go_print({"b": [1, "x", None], "a": True, "c": 1.5}) == "map[a:true b:[1 x <nil>] c:1.5]"


def _random_pod(source: random.Random) -> JSON:
    def container(name: str) -> JSON:
        made: JSON = {"name": name, "image": source.choice("xyz")}
        if source.random() < 0.5:
            made["env"] = [{"name": key, "value": source.choice("12")} for key in source.sample("ABCD", source.randint(1, 4))]
        if source.random() < 0.5:
            made["args"] = source.choices("pqr", k=source.randint(1, 3))
        return made

    metadata: JSON = {"labels": {key: source.choice("12") for key in source.sample("abcd", source.randint(0, 4))}}
    metadata["finalizers"] = source.sample("fghi", source.randint(0, 4))
    return {"metadata": metadata, "spec": {"containers": [container(name) for name in source.sample("abcdef", source.randint(1, 6))]}}


def _difference(before: Any, after: Any) -> Any:
    """A strategic merge patch as kubectl makes it: changes by name, deletions, and the order of every merged list."""
    change: JSON = {key: None for key in before if key not in after}
    for key, new in after.items():
        old = before.get(key)
        if old == new and key not in ("containers", "env"):
            continue
        if key == "finalizers":
            change["$setElementOrder/finalizers"] = new
            change["$deleteFromPrimitiveList/finalizers"] = [value for value in old or [] if value not in new]
            change[key] = [value for value in new if value not in (old or [])]
        elif key in ("containers", "env"):
            change[f"$setElementOrder/{key}"] = [{"name": element["name"]} for element in new]
            known = {element["name"]: element for element in old or []}
            gone = [{"name": name, "$patch": "delete"} for name in known if name not in {element["name"] for element in new}]
            change[key] = [{**_difference(known.get(element["name"], {}), element), "name": element["name"]} for element in new] + gone
        elif isinstance(new, dict):
            change[key] = _difference(old or {}, new)
        else:
            change[key] = new
    return change


@pytest.mark.parametrize("seed", range(60))
def test_the_patch_between_any_two_pods_leads_from_one_to_the_other(seed: int) -> None:
    source = random.Random(seed)
    before, after = _random_pod(source), _random_pod(source)
    change = _difference(before, after)
    frozen = copy.deepcopy((before, change))
    assert patch.strategic_merge("Pod", before, change) == after
    assert (before, change) == frozen
    assert patch.strategic_merge("Pod", after, _difference(after, after)) == after


@pytest.mark.parametrize("seed", range(60))
def test_a_strategic_merge_applied_twice_changes_nothing_more(seed: int) -> None:
    source = random.Random(seed)
    before, change = _random_pod(source), _random_pod(source)
    once = patch.strategic_merge("Pod", before, change)
    assert patch.strategic_merge("Pod", once, change) == once
    assert sorted(once["metadata"]["finalizers"]) == sorted({*before["metadata"]["finalizers"], *change["metadata"]["finalizers"]})


@pytest.mark.parametrize("times", [30, 5000])
def test_copies_that_double_the_document_are_refused_before_they_fill_the_memory(times: int) -> None:
    ops = [{"op": "copy", "from": "/metadata", "path": f"/metadata/x{number}"} for number in range(times)]
    with pytest.raises(errors.Invalid, match="rejected our request"):
        patch.json_patch({"metadata": {"name": "a", "text": "x" * 1000}}, ops)
