"""Tables, JSONPath, descriptions and patches: the pure parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podspace.cli import describe_pod, failure, jsonpath, output, tabs, three_way
from podspace.cli.describe_text import Lines
from podspace.kube.json import JSON

DATA = Path(__file__).parents[2] / "data" / "cli"
PODS: JSON = {
    "items": [
        {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "status": {"phase": "Running", "n": 3, "ready": True}},
        {"metadata": {"name": "b", "labels": {}}, "status": {"phase": "Failed", "n": 7}},
    ]
}


def test_a_column_is_as_wide_as_its_block() -> None:
    lines = [["a", "b"], ["long", "c", "d"], ["no tab"], ["x", "y"]]
    assert tabs.align(lines) == ["a     b", "long  c  d", "no tab", "x  y"]


def test_a_table_keeps_its_widths_for_later_rows() -> None:
    widths: list[int] = []
    assert tabs.columns([["NAME", "AGE"], ["web-server", "1s"]], widths=widths) == ["NAME         AGE", "web-server   1s"]
    assert tabs.columns([["w", "2s"]], widths=widths) == ["w            2s"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].status}", '{"phase":"Running","n":3,"ready":true}'),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{..name}", "a b"),
        (r"{.items[0].metadata.labels.app\.io/x}", "1"),
        ("{.items[0].metadata.labels['app.io/x']}", "1"),
        ('{.items[?(@.status.phase=="Running")].metadata.name}', "a"),
        ("{.items[?(@.status.n>5)].metadata.name}", "b"),
        ("{.items[?(@.status.ready)].metadata.name}", "a"),
        ('{range .items[*]}{.metadata.name}={.status.n}{"\\n"}{end}!', "a=3\nb=7\n!"),
        ("{range .items[*]}{.metadata.name},{end}", "a,b,"),
        ("name: {.items[0].metadata.name}", "name: a"),
        ("{.nope}", ""),
        ("{$.items[0].metadata.name}", "a"),
        ("{.items[0,1].metadata.name}", "a b"),
    ],
)
def test_jsonpath(template: str, expected: str) -> None:
    assert jsonpath.compile(template).render(PODS) == expected


@pytest.mark.parametrize("template", ["{.a", "{range .a}x", "{end}", "{.a[}", "{nope()}", "{.a[x y]}"])
def test_a_bad_jsonpath_is_refused(template: str) -> None:
    with pytest.raises(failure.Failure, match="error parsing jsonpath"):
        jsonpath.compile(template)


def test_managed_fields_are_hidden_unless_asked_for() -> None:
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "managedFields": [{}]}}
    hidden, shown = output.printer("json"), output.printer("json", show_managed_fields=True)
    assert hidden is not None
    assert shown is not None
    assert "managedFields" not in hidden([obj], False)
    assert "managedFields" in shown([obj], False)


def test_text_of_several_lines_is_a_block_in_yaml() -> None:
    assert output.as_yaml({"b": "1\n2\n", "a": [{"x": "true"}]}) == "a:\n- x: 'true'\nb: |\n  1\n  2\n"


def test_a_pod_is_described_as_kubectl_does(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = json.loads((DATA / "describe-pod.json").read_text())
    monkeypatch.setenv("TZ", "UTC")
    lines = Lines()
    describe_pod.describe(lines, recorded["pod"], now=0)
    assert lines.text() == recorded["described"]


def test_a_pod_in_trouble_shows_its_states_commands_and_volumes() -> None:
    pod: JSON = {
        "metadata": {"name": "p", "namespace": "d", "deletionTimestamp": "2026-01-01T00:00:40Z", "deletionGracePeriodSeconds": 30},
        "spec": {
            "shareProcessNamespace": True,
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "command": ["sh", "-c"],
                    "ports": [{"containerPort": 80}],
                    "env": [{"name": "A", "value": "1"}, {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}],
                    "resources": {"limits": {"cpu": "1"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}},
                }
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "c",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 3}},
                    "restartCount": 4,
                }
            ],
        },
    }
    lines = Lines()
    describe_pod.describe(lines, pod, now=1767225650.0)
    text = " ".join(lines.text().split())
    for part in (
        "Status: Terminating (lasts 40s)",
        "Shared PIDs: true",
        "Port: 80/TCP",
        "State: Waiting Reason: CrashLoopBackOff",
        "Last State: Terminated Reason: Error Exit Code: 3",
        "Restart Count: 4",
        "Limits: cpu: 1",
        "Liveness: http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3",
        "S: <set to the key 'k' of secret 's'> Optional: false",
        "/v from v (ro)",
        "Type: EmptyDir",
    ):
        assert part in text


def patched(original: Any, modified: Any, live: Any) -> JSON:
    return three_way.patch({"x": original}, {"x": modified}, {"x": live})


def test_what_is_as_wished_needs_no_patch() -> None:
    assert three_way.patch({"a": 1}, {"a": 1, "m": {"b": [1]}}, {"a": 1, "m": {"b": [1], "other": 2}, "status": {}}) == {}


def test_what_was_applied_and_is_no_longer_wished_goes() -> None:
    assert three_way.patch({"a": 1, "b": {"c": 1}}, {"b": {}}, {"a": 1, "b": {"c": 1, "theirs": 2}}) == {"a": None, "b": {"c": None}}


def test_elements_are_patched_by_name() -> None:
    spec = [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]
    live = [{"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "b", "image": "1"}]
    wished = [{"name": "a", "image": "2"}]
    assert three_way.patch({"containers": spec}, {"containers": wished}, {"containers": live}) == {
        "$setElementOrder/containers": [{"name": "a"}],
        "containers": [{"image": "2", "name": "a"}, {"$patch": "delete", "name": "b"}],
    }


def test_a_new_element_comes_whole_and_order_is_a_change() -> None:
    live = [{"name": "a"}, {"name": "b"}]
    assert three_way.patch({}, {"env": [{"name": "b"}, {"name": "a"}]}, {"env": live}) == {
        "$setElementOrder/env": [{"name": "b"}, {"name": "a"}]
    }
    assert three_way.patch({}, {"env": [{"name": "a"}, {"name": "b"}, {"name": "c", "value": "1"}]}, {"env": live})["env"] == [
        {"name": "c", "value": "1"}
    ]


def test_plain_lists_are_replaced() -> None:
    assert patched(["a"], ["b"], ["a", "c"]) == {"x": ["b"]}
    assert patched(None, [], ["a"]) == {"x": []}


def test_null_in_a_manifest_removes() -> None:
    assert patched(None, None, 1) == {"x": None}
    assert three_way.patch({}, {"x": None}, {}) == {}


def test_what_others_said_does_not_steer_the_terminal() -> None:
    assert tabs.align([["Message:", "a\x1b[2Jb\rc"]]) == ["Message:  a^[[2Jb\\rc"]
    assert tabs.columns([["x\x1b]0;t\x07", "two\nlines"]])[0].endswith("two...")
    assert "\x1b" not in tabs.columns([["x\x1b]0;t\x07", "b"]])[0]
