"""apply and delete against the real API server; kubectl may take turns with us on the same objects."""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from podspace.cli import failure
from podspace.kube.json import JSON
from tests.unit.cli.conftest import Cli
from tests.unit.cli.machine import Machine, config_map, manifest


@pytest.fixture(scope="module", autouse=True)
def _objects(machine: Machine) -> None:
    machine.pod("web", labels={"app": "web", "tier": "front"})
    machine.pod("two", "first", "second", labels={"app": "two"})
    machine.apply(config_map("colours", {"sky": "blue"}))


def test_apply_creates_then_leaves_then_changes(cli: Cli, tmp_path: Path, machine: Machine) -> None:
    path = str(manifest(tmp_path, config_map("applied", {"a": "1", "b": "2"})))
    assert cli("apply", "-f", path).out == "configmap/applied created\n"
    assert cli("apply", "-f", path).out == "configmap/applied unchanged\n"
    manifest(tmp_path, config_map("applied", {"b": "3"}))
    assert cli("apply", "-f", path).out == "configmap/applied configured\n"
    live = machine.api.get("/api/v1/namespaces/default/configmaps/applied")
    assert live["data"] == {"b": "3"}
    annotation = live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert annotation == (
        '{"apiVersion":"v1","data":{"b":"3"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"applied","namespace":"default"}}\n'
    )


def test_fields_of_others_survive_an_apply(cli: Cli, tmp_path: Path, machine: Machine) -> None:
    path = str(manifest(tmp_path, config_map("shared", {"mine": "1"})))
    cli("apply", "-f", path)
    patch: JSON = {"data": {"theirs": "1"}}
    machine.api.request("PATCH", "/api/v1/namespaces/default/configmaps/shared", patch, content_type="application/merge-patch+json")
    manifest(tmp_path, config_map("shared", {"mine": "2"}))
    cli("apply", "-f", path)
    assert machine.api.get("/api/v1/namespaces/default/configmaps/shared")["data"] == {"mine": "2", "theirs": "1"}


def test_several_documents_and_lists_go_on_after_a_failure(cli: Cli, tmp_path: Path) -> None:
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad"}, "dataa": {}}
    path = manifest(tmp_path, bad, {"apiVersion": "v1", "kind": "List", "items": [config_map("good", {})]})
    said = cli("apply", "-f", str(path))
    assert said.code == 1
    assert said.out == "configmap/good created\n"
    assert said.err.startswith(f'Error from server (BadRequest): error when creating "{path}": ConfigMap in version "v1" cannot be handled')
    assert 'unknown field "dataa"' in said.err


def test_standard_input_and_dry_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    text = json.dumps(config_map("never", {})).encode()
    for mode, note in (("client", "(dry run)"), ("server", "(server dry run)")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert cli("apply", "-f", "-", f"--dry-run={mode}").out == f"configmap/never created {note}\n"
    with pytest.raises(failure.ServerFailure):
        machine.api.get("/api/v1/namespaces/default/configmaps/never")


def test_a_broken_file_is_named(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1\n")
    assert f"error parsing {path}: error converting YAML to JSON: yaml:" in cli("apply", "-f", str(path)).err
    path.write_text("apiVersion: v1\nkind: Pod\nspec:\n  hostPID: true\n  hostPID: false\n")
    assert 'line 5: key "hostPID" already set in map' in cli("apply", "-f", str(path)).err
    path.write_text("apiVersion: v1\nkind: Potato\nmetadata: {name: x}\n")
    assert 'no matches for kind "Potato" in version "v1"' in cli("apply", "-f", str(path)).err
    assert cli("apply", "-f", str(tmp_path / "nope")).err == f'error: the path "{tmp_path / "nope"}" does not exist\n'


def test_folders_are_applied_in_order(cli: Cli, tmp_path: Path) -> None:
    manifest(tmp_path, config_map("f2", {}), name="b.yaml")
    manifest(tmp_path, config_map("f1", {}), name="a.json")
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert cli("apply", "-f", str(tmp_path)).out == "configmap/f1 created\nconfigmap/f2 created\n"


def test_a_url_is_fetched(cli: Cli, tmp_path: Path) -> None:
    import functools
    import http.server

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    manifest(tmp_path, config_map("fetched", {}), name="m.yaml")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            assert cli("apply", "-f", f"{url}/m.yaml").out == "configmap/fetched created\n"
            assert "server reported 404" in cli("apply", "-f", f"{url}/nope.yaml").err
        finally:
            server.shutdown()
            thread.join()


def test_delete_says_what_it_did_and_waits(cli: Cli, machine: Machine) -> None:
    machine.apply(config_map("gone", {}))
    machine.pod("ends")
    assert cli("delete", "cm", "gone").out == 'configmap "gone" deleted from default namespace\n'
    assert cli("delete", "pod/ends").out == 'pod "ends" deleted from default namespace\n'
    assert cli("get", "pod", "ends").code == 1


def test_several_missing_objects_are_all_reported(cli: Cli) -> None:
    said = cli("delete", "cm/none", "pod/none")
    assert said.code == 1
    assert said.err == 'Error from server (NotFound): configmaps "none" not found\nError from server (NotFound): pods "none" not found\n'
    assert cli("delete", "cm/none", "--ignore-not-found").code == 0


def test_delete_by_label_and_by_file(cli: Cli, machine: Machine, tmp_path: Path) -> None:
    for name in ("l1", "l2"):
        obj = config_map(name, {})
        obj["metadata"]["labels"] = {"grp": "l"}
        machine.apply(obj)
    assert cli("delete", "cm", "-l", "grp=l", "-o", "name").out == "configmap/l1\nconfigmap/l2\n"
    path = str(manifest(tmp_path, config_map("byfile", {})))
    cli("apply", "-f", path)
    assert cli("delete", "-f", path).out == 'configmap "byfile" deleted from default namespace\n'


def test_waiting_ends_with_the_timeout(cli: Cli, machine: Machine) -> None:
    obj = config_map("stuck", {})
    obj["metadata"]["finalizers"] = ["example.com/stays"]
    machine.apply(obj)
    said = cli("delete", "cm", "stuck", "--timeout=50ms")
    assert (said.code, said.err) == (1, "error: timed out waiting for the condition on configmaps/stuck\n")


def test_flags_that_contradict_are_refused(cli: Cli) -> None:
    assert "--now and --grace-period cannot be specified together" in cli("delete", "pod", "web", "--now", "--grace-period=3").err
    assert cli("delete", "pods").err == "error: resource(s) were provided, but no name was specified\n"


def test_versions_of_both_sides(cli: Cli) -> None:
    assert cli("version").out.splitlines()[1].startswith("server: Kubernetes API v1.36")


def test_without_a_server_it_says_where_it_looked(cli: Cli, machine: Machine, tmp_path: Path) -> None:
    config = json.loads(machine.kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:1"}
    (tmp_path / "config").write_text(json.dumps(config))
    said = cli("get", "pods", kubeconfig=tmp_path / "config")
    assert (said.code, said.err) == (
        1,
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n",
    )
    assert "is `podspace serve` running?" not in said.err
    assert cli("get", "pods", kubeconfig=tmp_path / "nope").err == f"error: kubeconfig {tmp_path / 'nope'}: No such file or directory\n"


def test_a_wrong_ca_is_an_error_without_traceback(cli: Cli, machine: Machine, tmp_path: Path) -> None:
    config = json.loads((machine.folder / "tls").read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    (tmp_path / "config").write_text(json.dumps(config))
    said = cli("get", "pods", kubeconfig=tmp_path / "config")
    assert said.code == 1
    assert said.err.startswith("Unable to connect to the server: ")
