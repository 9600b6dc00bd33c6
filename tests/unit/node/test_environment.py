from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from podspace.node import environment, fieldpath
from tests.unit.node.builders import pod

NODE = fieldpath.NodeFacts(name="n", ips=("192.0.2.1", "2001:db8::1"), cpu_milli=2000, memory_bytes=1 << 30, storage_bytes=1 << 40)
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("configmaps", "c"): {"data": {"k": "v", "other": "w"}},
    ("secrets", "s"): {"data": {"password": base64.b64encode(b"hunter2").decode()}},
}


def env(
    items: list[dict[str, Any]], env_from: list[dict[str, Any]] | None = None, volumes: dict[str, Path] | None = None, **container: Any
) -> dict[str, str]:
    view = pod({"containers": [{"name": "a", "image": "x", "env": items, "envFrom": env_from or []} | container]})
    lookup = lambda resource, namespace, name: OBJECTS.get((resource, name))  # noqa: E731
    here = environment.Surroundings(lookup=lookup, node=NODE, pod_ips=("10.0.0.2",), volumes=volumes or {})
    return dict(environment.build(view, view.containers[0], here))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("$$$(A)", "$1"),
        ("$", "$"),
        ("", ""),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1"}) == expanded


def test_a_variable_sees_those_before_it_only() -> None:
    assert env([{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)"}]) == {
        "A": "1",
        "B": "$(A)",
        "C": "1",
    }


def test_config_maps_and_secrets_are_read_by_key() -> None:
    made = env(
        [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
        ]
    )
    assert made == {"A": "v", "B": "hunter2"}


def test_what_no_process_can_be_given_is_refused() -> None:
    with pytest.raises(environment.ConfigError, match="environment variable 'A' holds a NUL byte"):
        env([{"name": "A", "value": "x\0y"}])


def test_env_from_takes_every_key_with_its_prefix_and_env_wins() -> None:
    made = env([{"name": "P_k", "value": "own"}], [{"configMapRef": {"name": "c"}, "prefix": "P_"}])
    assert made == {"P_other": "w", "P_k": "own"}


def test_a_missing_reference_says_what_is_missing() -> None:
    with pytest.raises(environment.ConfigError, match='configmap "nope" not found'):
        env([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nope", "key": "k"}}}])
    with pytest.raises(environment.ConfigError, match="couldn't find key x in Secret default/s"):
        env([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "x"}}}])


def test_an_optional_reference_that_is_missing_leaves_the_variable_out() -> None:
    assert env([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nope", "key": "k", "optional": True}}}]) == {}


def test_the_downward_api_tells_of_pod_and_node() -> None:
    fields = {
        "N": "metadata.name",
        "NS": "metadata.namespace",
        "IP": "status.podIP",
        "H": "status.hostIP",
        "HS": "status.hostIPs",
        "NODE": "spec.nodeName",
    }
    made = env([{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()])
    assert made == {"N": "p", "NS": "default", "IP": "10.0.0.2", "H": "192.0.2.1", "HS": "192.0.2.1,2001:db8::1", "NODE": "n"}


def test_resource_fields_are_rounded_up_and_fall_back_to_the_node() -> None:
    wanted = {"CPU": ("limits.cpu", "0"), "MEM": ("limits.memory", "1Mi"), "REQ": ("requests.cpu", "1m")}
    items = [{"name": n, "valueFrom": {"resourceFieldRef": {"resource": r, "divisor": d}}} for n, (r, d) in wanted.items()]
    assert env(items, resources={"limits": {"memory": "1500Ki"}, "requests": {"cpu": "250m"}}) == {"CPU": "2", "MEM": "2", "REQ": "250"}


def from_file(path: str, key: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": "X", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": path, "key": key, **more}}}]


def test_a_key_of_a_file_in_a_volume_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.env").write_text("A='1'\nB=bad\n")
    assert env(from_file("config.env", "A"), volumes={"v": tmp_path}) == {"X": "1"}
    assert env(from_file("none.env", "A", optional=True), volumes={"v": tmp_path}) == {}
    with pytest.raises(environment.ConfigError, match=r'environment variable key "A" not found in file "none.env" of volume v'):
        env(from_file("none.env", "A"), volumes={"v": tmp_path})
    with pytest.raises(environment.ConfigError, match=r"couldn't parse env file: config.env in volume v: invalid .* at line 2"):
        env(from_file("config.env", "B"), volumes={"v": tmp_path})
    with pytest.raises(environment.ConfigError, match='cannot find the volume "v" referenced by FileKeyRef'):
        env(from_file("config.env", "A"))


def test_a_file_of_variables_that_is_a_link_leads_nowhere_out_of_its_volume(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("A='stolen'\n")
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "volume" / "up").symlink_to("../outside")
    for name in ("link", "up"):
        assert env(from_file(name, "A", optional=True), volumes={"v": tmp_path / "volume"}) == {}


@pytest.mark.parametrize(
    ("resource", "resources", "whole", "expected"),
    [
        ("limits.cpu", {}, {}, "2"),
        ("limits.memory", {}, {}, str(1 << 30)),
        ("limits.memory", {"limits": {"memory": "0"}}, {}, str(1 << 30)),
        ("limits.memory", {}, {"limits": {"memory": "64Mi"}}, str(64 << 20)),
        ("limits.memory", {}, {"limits": {"memory": "64Gi"}}, str(1 << 30)),
        ("limits.ephemeral-storage", {}, {}, str(1 << 40)),
        ("limits.ephemeral-storage", {"limits": {"ephemeral-storage": "1Gi"}}, {}, str(1 << 30)),
        ("limits.hugepages-2Mi", {}, {}, "0"),
        ("requests.memory", {}, {"requests": {"memory": "64Mi"}}, "0"),
    ],
)
def test_a_limit_that_is_not_set_is_the_pods_or_the_nodes(resource: str, resources: Any, whole: Any, expected: str) -> None:
    view = pod({"containers": [{"name": "a", "image": "x", "resources": resources}], "resources": whole})
    assert fieldpath.resource_value(view, {"resource": resource}, "a", NODE) == expected
