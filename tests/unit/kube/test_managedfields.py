"""Who owns which field, and what becomes of fields that nobody owns any more."""

from __future__ import annotations

import random
from typing import Any

import pytest

from podspace import errors
from podspace.kube import fieldsets, fieldshapes, fieldtypes, fieldwalk, managedfields
from podspace.kube.json import JSON
from podspace.kube.managedfields import APPLY, UPDATE, Applied, Entries, Manager

POD = fieldshapes.of("Pod")


def manager(name: str, operation: str = APPLY, subresource: str = "") -> Manager:
    return Manager(name=name, operation=operation, api_version="v1", subresource=subresource)


def pod(*containers: JSON, **metadata: Any) -> JSON:
    spec = {"spec": {"containers": list(containers)}} if containers else {}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", **metadata}, **spec}


def apply(live: JSON | None, config: JSON, entries: Entries, name: str, *, force: bool = False, now: str = "1") -> Applied:
    return managedfields.apply("Pod", live, config, entries, manager(name), now, force=force)


def fields(entries: Entries) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in managedfields.encoded(entries)}


@pytest.mark.parametrize(
    ("operation", "left", "right", "result"),
    [
        ("union", {"f:a": {}}, {"f:a": {"f:b": {}}}, {"f:a": {".": {}, "f:b": {}}}),
        ("union", {}, {"f:a": {}}, {"f:a": {}}),
        ("difference", {"f:a": {".": {}, "f:b": {}}}, {"f:a": {}}, {"f:a": {"f:b": {}}}),
        ("difference", {"f:a": {"f:b": {}}}, {"f:a": {"f:b": {}}}, {}),
        ("difference", {"f:a": {".": {}, "f:b": {}}}, {"f:a": {"f:b": {}}}, {"f:a": {}}),
        ("intersection", {"f:a": {".": {}, "f:b": {}}, "f:c": {}}, {"f:a": {"f:b": {}}}, {"f:a": {"f:b": {}}}),
        ("intersection", {"f:a": {}}, {"f:a": {"f:b": {}}}, {}),
    ],
)
def test_sets_are_joined_and_taken_apart_field_by_field(operation: str, left: JSON, right: JSON, result: JSON) -> None:
    assert getattr(fieldsets, operation)(left, right) == result


def test_a_field_is_taken_out_or_kept_with_all_below_it() -> None:
    tree: JSON = {"f:a": {".": {}, "f:b": {"f:c": {}}}, "f:d": {}}
    assert fieldsets.without(tree, "f:a", "f:b") == {"f:a": {}, "f:d": {}}
    assert fieldsets.without(tree, "f:a") == {"f:d": {}}
    assert fieldsets.without(tree, "f:d", "f:x") == tree
    assert fieldsets.only(tree, "f:a", "f:b") == {"f:a": {"f:b": {"f:c": {}}}}
    assert fieldsets.only(tree, "f:x") == {}


def test_messages_name_a_field_by_its_path() -> None:
    tree: JSON = {"f:spec": {"f:x": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:y": {}}}}, "f:z": {'v:"s"': {}}}
    assert list(fieldsets.paths(tree)) == [
        '.spec.x[containerPort=80,protocol="TCP"]',
        '.spec.x[containerPort=80,protocol="TCP"].y',
        '.z[="s"]',
    ]


def test_sets_are_printed_sorted_and_ports_by_number() -> None:
    tree: JSON = {'k:{"port":443}': {}, 'k:{"port":80}': {}, ".": {}}
    assert list(fieldsets.arranged(tree)) == [".", 'k:{"port":80}', 'k:{"port":443}']


def test_a_new_objects_writer_owns_all_it_says_and_what_was_filled_in() -> None:
    obj = pod({"name": "a", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}, labels={"x": "1"}, uid="u")
    entries = managedfields.update("Pod", None, obj, {}, manager("kubectl-create", UPDATE), "1")
    assert fields(entries)["kubectl-create"] == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"a"}': {
                    ".": {},
                    "f:name": {},
                    "f:ports": {
                        ".": {},
                        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}},
                    },
                    "f:resources": {},
                }
            }
        },
    }


def test_an_update_owns_what_it_changed_and_takes_it_from_others() -> None:
    first = pod(labels={"x": "1", "y": "1"})
    entries = managedfields.update("Pod", None, first, {}, manager("one", UPDATE), "1")
    second = pod(labels={"x": "2"})
    entries = managedfields.update("Pod", first, second, entries, manager("two", UPDATE), "2")
    assert fields(entries) == {"one": {"f:metadata": {"f:labels": {}}}, "two": {"f:metadata": {"f:labels": {"f:x": {}}}}}
    assert [entry.time for entry in entries.values()] == ["1", "2"]
    assert managedfields.update("Pod", second, second, entries, manager("three", UPDATE), "3") is entries


def test_objects_without_entries_are_tracked_from_the_first_apply_on() -> None:
    live = pod(labels={"x": "1"})
    assert managedfields.update("Pod", live, pod(labels={"x": "2"}), {}, manager("one", UPDATE), "1") == {}
    with pytest.raises(errors.Conflict, match=r'conflict with "before-first-apply" using v1: \.metadata\.labels\.x'):
        apply(live, pod(labels={"x": "3"}), {}, "two")
    applied = apply(live, pod(labels={"x": "3"}), {}, "two", force=True)
    assert fields(applied.entries)["two"] == {"f:metadata": {"f:labels": {"f:x": {}}}}


def test_what_is_no_longer_applied_goes_unless_somebody_else_wants_it() -> None:
    one = apply(None, pod(labels={"x": "1", "y": "1", "z": "1"}), {}, "one")
    shared = apply(one.obj, pod(labels={"y": "1"}), one.entries, "two")
    assert shared.obj is None
    less = apply(one.obj, pod(labels={"x": "1"}), shared.entries, "one")
    assert less.obj is not None
    assert less.obj["metadata"]["labels"] == {"x": "1", "y": "1"}
    nothing = apply(less.obj, pod(), less.entries, "two")
    assert nothing.obj is not None
    assert nothing.obj["metadata"]["labels"] == {"x": "1"}
    assert "two" not in fields(nothing.entries)


def test_an_element_goes_with_what_the_server_filled_in() -> None:
    config = pod({"name": "a", "image": "i"}, {"name": "b", "image": "i"})
    first = apply(None, config, {}, "one")
    live = pod({"name": "a", "image": "i", "imagePullPolicy": "Always"}, {"name": "b", "image": "i", "imagePullPolicy": "Always"})
    second = apply(live, pod({"name": "b", "image": "i"}), first.entries, "one")
    assert second.obj is not None
    assert [container["name"] for container in second.obj["spec"]["containers"]] == ["b"]


def test_a_struct_goes_when_the_last_field_anybody_applied_in_it_goes() -> None:
    container = {"name": "a", "securityContext": {"runAsUser": 1}}
    first = apply(None, pod(container), {}, "one")
    assert first.obj is not None
    second = apply(first.obj, pod({"name": "a"}), first.entries, "one")
    assert second.obj is not None
    assert second.obj["spec"]["containers"] == [{"name": "a"}]


def test_conflicts_name_every_field_and_its_owner() -> None:
    first = apply(None, pod(labels={"x": "1", "y": "1"}), {}, "one")
    with pytest.raises(errors.Conflict) as caught:
        apply(first.obj, pod(labels={"x": "2", "y": "2"}), first.entries, "two")
    assert str(caught.value) == 'Apply failed with 2 conflicts: conflicts with "one":\n- .metadata.labels.x\n- .metadata.labels.y'
    assert [cause.field for cause in caught.value.causes] == [".metadata.labels.x", ".metadata.labels.y"]
    forced = apply(first.obj, pod(labels={"x": "2"}), first.entries, "two", force=True, now="2")
    assert fields(forced.entries) == {
        "one": {"f:metadata": {"f:labels": {"f:y": {}}}},
        "two": {"f:metadata": {"f:labels": {"f:x": {}}}},
    }


def test_lists_take_the_order_of_the_manifest_and_keep_what_others_added() -> None:
    shape = fieldshapes.members("PodSpec")["containers"][1]
    live = [{"name": name} for name in ("x", "a", "y", "b", "z")]
    config = [{"name": name} for name in ("b", "new", "a")]
    assert [item["name"] for item in fieldwalk.merge(shape, live, config)] == ["x", "y", "b", "z", "new", "a"]
    config = [{"name": name} for name in ("a", "new", "b")]
    assert [item["name"] for item in fieldwalk.merge(shape, live, config)] == ["x", "a", "y", "new", "b", "z"]


def test_entries_that_make_no_sense_are_passed_over_and_an_empty_one_clears_them() -> None:
    live = managedfields.encoded(apply(None, pod(labels={"x": "1"}), {}, "one").entries)
    assert managedfields.given(live, [{"manager": "m", "operation": "Steal"}], subresource="") == managedfields.decoded(live)
    broken: list[Any] = [{"f:a": 5}, {"k:{": {}}, {"x": {}}, {"k:[]": {}}, [], {"f:a": {"v:": {}}}]
    for tree in broken:
        entry = {"manager": "m", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": tree}
        assert managedfields.given(live, [entry], subresource="") == managedfields.decoded(live)
    assert managedfields.given(live, [{}], subresource="") == {}
    assert managedfields.given(live, [{}], subresource="status") == managedfields.decoded(live)


def test_of_many_updaters_the_oldest_are_put_together() -> None:
    obj = pod(labels={})
    entries = managedfields.update("Pod", None, pod(annotations={"a": "1"}), {}, manager("0", UPDATE), "00")
    for number in range(1, 15):
        changed = pod(labels={**obj["metadata"]["labels"], f"l{number}": "1"})
        entries = managedfields.update("Pod", obj, changed, entries, manager(str(number), UPDATE), f"{number:02}")
        obj = changed
    assert len(entries) == managedfields.MOST_UPDATE_MANAGERS
    ancient = fields(entries)["ancient-changes"]["f:metadata"]["f:labels"]
    assert {f"f:l{number}" for number in range(1, 6)} == set(ancient)


def test_fields_of_client_side_apply_are_yielded_as_long_as_nobody_changed_them() -> None:
    live = pod(labels={"x": "1", "y": "2"})
    tree = managedfields.applied_by_client("Pod", live, pod(labels={"x": "1", "y": "1"}))
    assert tree["f:metadata"]["f:labels"] == {"f:x": {}}
    assert managedfields.applied_by_client("Pod", live, ["no", "object"]) == {}


def test_a_status_belongs_to_who_writes_it() -> None:
    old = pod()
    old["metadata"]["managedFields"] = managedfields.encoded(
        managedfields.update("Pod", None, pod(labels={"a": "b"}), {}, manager("m", UPDATE), "1")
    )
    new = managedfields.with_status("Pod", "v1", old, {**old, "status": {"phase": "Running"}}, "kubelet", "2")
    assert new["metadata"]["managedFields"][-1] == {
        "manager": "kubelet",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {"f:phase": {}}},
        "subresource": "status",
    }
    assert managedfields.with_status("Pod", "v1", pod(), {**pod(), "status": {}}, "kubelet", "2") == {**pod(), "status": {}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"foo": 1}, ".foo: field not declared in schema"),
        ({"spec": []}, ".spec: expected map, got &value.valueUnstructured{Value:[]interface {}{}}"),
        ({"spec": {"containers": {}}}, ".spec.containers: expected list, got &{map[]}"),
        (
            {"spec": {"containers": [{"name": "a", "tty": "yes"}]}},
            '.spec.containers[name="a"].tty: expected boolean, got &value.valueUnstructured{Value:"yes"}',
        ),
        ({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}, '.spec.containers: duplicate entries for key [name="a"]'),
        ({"spec": {"containers": [None]}}, ".spec.containers: element 0: associative list with keys may not have null elements"),
        ({"spec": {"priority": "1"}}, '.spec.priority: expected numeric (int or float), got &value.valueUnstructured{Value:"1"}'),
        ({"metadata": {"finalizers": ["a", "a"]}}, '.metadata.finalizers: duplicate entries for key [="a"]'),
        (
            {"spec": {"hostAliases": [{"hostnames": ["h"]}], "nope": 1}},
            "errors:\n  .spec.nope: field not declared in schema",
        ),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_fit_is_refused_by_its_path(change: JSON, sentence: str) -> None:
    found = fieldtypes.complaints(POD, {**pod(), **change})
    assert found
    assert fieldtypes.sentence(found) == sentence or sentence.partition("\n  ")[2] in found


def test_a_set_deeper_than_any_object_is_none() -> None:
    tree: JSON = {}
    for _ in range(900):
        tree = {"f:a": tree}
    assert not fieldsets.sound(tree)
    live = managedfields.encoded(managedfields.update("Pod", None, pod(labels={"a": "b"}), {}, manager("m", UPDATE), "1"))
    assert managedfields.given(live, [{**live[0], "fieldsV1": tree}], subresource="") == managedfields.decoded(live)


def some_pod(dice: random.Random) -> JSON:
    """A few labels, containers, ports and variables, any of which may be missing."""

    def container(name: str) -> JSON:
        found: JSON = {"name": name, "image": dice.choice("xyz")}
        if dice.random() < 0.5:
            found["env"] = [{"name": key, "value": dice.choice("12")} for key in dice.sample("ABC", dice.randint(1, 3))]
        if dice.random() < 0.5:
            found["ports"] = [{"containerPort": port} for port in dice.sample((80, 81, 82), dice.randint(1, 3))]
        if dice.random() < 0.3:
            found["securityContext"] = {"runAsUser": dice.randint(1, 3), "capabilities": {"add": dice.sample("PQR", 2)}}
        return found

    metadata = {"labels": {key: dice.choice("12") for key in dice.sample("klm", dice.randint(1, 3))}} if dice.random() < 0.7 else {}
    return pod(*(container(name) for name in dice.sample("abc", dice.randint(0, 3))), **metadata)


def holds(live: Any, config: Any) -> bool:
    """Whether everything a manifest says is in an object."""
    if isinstance(config, dict):
        return all(key in live and holds(live[key], value) for key, value in config.items())
    if isinstance(config, list) and config and isinstance(config[0], dict):
        return all(any(holds(item, wanted) for item in live) for wanted in config)
    return bool(live == config)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_applied_is_there_once_and_is_owned(seed: int) -> None:
    dice = random.Random(seed)
    live: JSON | None = None
    entries: Entries = {}
    for step in range(12):
        config, name = some_pod(dice), dice.choice(("one", "two", "three"))
        applied = apply(live, config, entries, name, force=True, now=str(step))
        entries = applied.entries
        if applied.obj is not None:
            live = applied.obj
        assert live is not None
        assert holds(live, config)
        containers = [container["name"] for container in live.get("spec", {}).get("containers") or ()]
        assert len(containers) == len(set(containers))
        again = apply(live, config, entries, name, now="later")
        assert again.obj is None
        assert managedfields.encoded(again.entries) == managedfields.encoded(entries)
        everything = fieldwalk.with_structs(POD, fieldwalk.field_set(POD, live))
        for entry in entries.values():
            assert fieldsets.difference(entry.fields, everything) == {}, entry.manager.name
