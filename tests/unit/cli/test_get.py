"""get, describe and logs against the real API server, in kubectl's words."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from podspace.cli import get
from tests.unit.cli.conftest import Cli
from tests.unit.cli.machine import Machine, columns, config_map, manifest


@pytest.fixture(scope="module", autouse=True)
def _objects(machine: Machine) -> None:
    machine.pod("web", labels={"app": "web", "tier": "front"})
    machine.pod("two", "first", "second", labels={"app": "two"})
    machine.apply(config_map("colours", {"sky": "blue"}))


def test_a_list_is_the_servers_table(cli: Cli) -> None:
    head, *rows = columns(cli("get", "pods").out)
    assert head == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row[:3] for row in rows] == [["two", "2/2", "Running"], ["web", "1/1", "Running"]]


def test_wide_shows_more(cli: Cli) -> None:
    head, row = columns(cli("get", "po", "web", "-o", "wide").out)
    assert head[5:7] == ["IP", "NODE"]
    assert row[5:7] == ["10.88.0.2", "box"]


def test_a_selector_chooses_and_labels_become_columns(cli: Cli) -> None:
    said = cli("get", "pods", "-l", "app=web", "-L", "tier", "--show-labels", "--no-headers")
    assert columns(said.out)[0][-2:] == ["front", "app=web,tier=front"]


def test_all_namespaces_are_a_column(cli: Cli) -> None:
    assert columns(cli("get", "pods", "-A").out)[1][:2] == ["default", "two"]


def test_nothing_found_is_said_on_standard_error(cli: Cli) -> None:
    said = cli("get", "pods", "-n", "kube-system")
    assert (said.code, said.out, said.err) == (0, "", "No resources found in kube-system namespace.\n")


def test_several_kinds_are_several_tables_with_the_kind_in_the_name(cli: Cli) -> None:
    out = cli("get", "pods,cm", "-l", "app!=two").out
    assert "pod/web " in out
    assert "\n\nNAME" in out
    assert "configmap/colours" in out


def test_what_is_missing_is_reported_after_what_is_there(cli: Cli) -> None:
    said = cli("get", "pod/web", "cm/nope")
    assert said.code == 1
    assert columns(said.out)[1][0] == "web"
    assert said.err == 'Error from server (NotFound): configmaps "nope" not found\n'


def test_missing_objects_can_be_passed_over(cli: Cli) -> None:
    assert cli("get", "pod", "nope", "--ignore-not-found").code == 0


def test_unknown_kinds_are_named(cli: Cli) -> None:
    assert cli("get", "foobars").err == 'error: the server doesn\'t have a resource type "foobars"\n'


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("name", "pod/web\n"),
        ("jsonpath={.status.podIP}", "10.88.0.2"),
        ('jsonpath={range .spec.containers[*]}{.name}{"\\n"}{end}', "main\n"),
        ("custom-columns=N:.metadata.name,C:.spec.containers[*].name,X:.nope", "N     C      X\nweb   main   <none>\n"),
    ],
)
def test_output_formats(cli: Cli, form: str, expected: str) -> None:
    assert cli("get", "pod", "web", "-o", form).out == expected


def test_json_of_a_list_is_a_list_whose_items_know_their_kind(cli: Cli) -> None:
    answer = json.loads(cli("get", "pods", "-o", "json").out)
    assert answer["kind"] == "List"
    assert [item["kind"] for item in answer["items"]] == ["Pod", "Pod"]


def test_yaml_is_sorted_and_plain(cli: Cli) -> None:
    out = cli("get", "cm", "colours", "-oyaml").out
    assert out.startswith("apiVersion: v1\ndata:\n  sky: blue\nkind: ConfigMap\nmetadata:\n")


def test_rows_can_be_sorted(cli: Cli) -> None:
    rows = columns(cli("get", "pods", "--sort-by=.metadata.creationTimestamp", "--no-headers").out)
    assert {row[0] for row in rows} == {"web", "two"}
    assert [row[0] for row in columns(cli("get", "pods", "--sort-by", "{.metadata.name}", "--no-headers").out)] == ["two", "web"]


def test_the_objects_of_a_manifest(cli: Cli, tmp_path: Path) -> None:
    assert columns(cli("get", "-f", str(manifest(tmp_path, config_map("colours", {})))).out)[1][0] == "colours"


def test_a_bad_output_format_lists_the_good_ones(cli: Cli) -> None:
    assert "allowed formats are: json,yaml,name" in cli("get", "pods", "-o", "xml").err


def test_a_watch_goes_on_with_changes(machine: Machine, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch is ended by the test's own output: the third row."""
    rows: list[str] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            rows.extend(text.splitlines())
            if len(rows) == 2:
                machine.set_status("watched", phase="Failed", reason="Evicted")
            if len(rows) >= 3:
                raise BrokenPipeError
            return len(text)

    machine.pod("watched")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Screen())
        with pytest.raises(BrokenPipeError):
            get.run(["pod", "watched", "-w", f"--kubeconfig={machine.kubeconfig}"])
    assert [row.split()[2] for row in rows] == ["STATUS", "Running", "Evicted"]
    cli("delete", "pod", "watched")


def test_a_pod_is_described_with_its_events(cli: Cli, machine: Machine) -> None:
    pod = machine.api.get("/api/v1/namespaces/default/pods/web")
    reference = {"kind": "Pod", "namespace": "default", "name": "web", "uid": pod["metadata"]["uid"]}
    machine.apply(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "web.1"},
            "involvedObject": reference,
            "type": "Normal",
            "reason": "Started",
            "message": "Container started",
            "source": {"component": "kubelet"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
    )
    out = cli("describe", "pod", "web").out
    assert "Name:             web\n" in out
    assert "Labels:           app=web\n                  tier=front\n" in out
    assert "    State:          Running\n" in out
    assert "Tolerations:" in out
    assert out.splitlines()[-1].split()[:2] == ["Normal", "Started"]
    assert out.endswith("kubelet  Container started\n")


def test_a_prefix_describes_all_that_begin_with_it(cli: Cli) -> None:
    assert cli("describe", "pod", "we").out.startswith("Name:")
    assert cli("describe", "pod", "zz").err == 'Error from server (NotFound): pods "zz" not found\n'


def test_a_secret_is_described_by_its_sizes_only(cli: Cli, machine: Machine) -> None:
    machine.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"password": "hunter2"}})
    out = cli("describe", "secret", "key").out
    assert "password:  7 bytes" in out
    assert "hunter2" not in out


def test_other_kinds_are_described_too(cli: Cli) -> None:
    assert "sky:\n----\nblue" in cli("describe", "cm", "colours").out
    assert "Status:       Active" in cli("describe", "ns", "default").out


def test_logs_are_copied_as_they_are(cli: Cli, machine: Machine) -> None:
    machine.backend.log = {"main": (b"one\n", b"\xff two")}
    options = ("--tail=5", "--since=1m30s", "--timestamps", "-p", "--limit-bytes=100")
    assert cli("logs", "web", *options).code == 0
    asked = machine.backend.asked[-1][2]
    assert (asked.tail_lines, asked.since_seconds, asked.timestamps, asked.previous, asked.limit_bytes) == (5, 90, True, True, 100)


def test_the_default_container_of_logs_is_said(cli: Cli) -> None:
    assert cli("logs", "two").err == 'Defaulted container "first" out of: first, second\n'


def test_all_containers_with_a_prefix(cli: Cli, machine: Machine) -> None:
    machine.backend.log = {"first": (b"a\nb\n",), "second": (b"c\n",)}
    expected = "[pod/two/first] a\n[pod/two/first] b\n[pod/two/second] c\n"
    assert cli("logs", "two", "--all-containers", "--prefix").out == expected
    followed = cli("logs", "two", "--all-containers", "--prefix", "-f").out
    assert sorted(followed.splitlines()) == sorted(expected.splitlines())


def test_logs_by_selector(cli: Cli, machine: Machine) -> None:
    machine.backend.log = {"main": (b"x\n",)}
    assert cli("logs", "-l", "app=web").out == "x\n"
    assert machine.backend.asked[-1][2].tail_lines == 10
