"""Findings about manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podspace.cli import audit as command
from podspace.lens import audit, audit_images, audit_manifest, audit_rules

Json = dict[str, Any]
SECRET = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}


def pod(*containers: Json, **spec: Any) -> Json:
    return {"kind": "Pod", "spec": {"shareProcessNamespace": True, "containers": list(containers)} | spec}


def container(name: str, uid: int | None = None, **more: Any) -> Json:
    security = {} if uid is None else {"securityContext": {"runAsUser": uid}}
    return {"name": name, "image": "x"} | security | more


def found(obj: Json, **images: audit_manifest.ImageFacts) -> list[tuple[str, str, str]]:
    status = audit.of_manifest(obj, images, audit_rules.Kernel())
    return [(finding["rule"], finding["severity"], finding["field"]) for finding in status["findings"]]


def test_a_secret_in_the_environment_is_found_where_a_neighbour_reads_it() -> None:
    secret = container("db", env=[{"name": "A", "value": "1"}, {"name": "P"} | SECRET])
    assert ("secret-in-environment", "high", "spec.containers[0].env[1]") in found(pod(secret, container("web")))
    assert found(pod(secret, container("web", 1000))) == []
    assert found(pod(secret, container("web"), shareProcessNamespace=False)) == []


def test_a_secret_among_the_arguments_is_found_whatever_the_uid() -> None:
    for words in (["--password=x"], ["--db-password", "x"], ["$(P)"]):
        secret = container("db", 1, args=words, env=[{"name": "P"} | SECRET])
        rules = [rule for rule, _, field in found(pod(secret, container("web", 1000))) if ".args[" in field]
        assert rules == ["secret-in-arguments"], words
    for words in (["--password-file=/x"], ["--password-file", "/x"], ["--verbose"]):
        assert found(pod(container("db", 1, args=words), container("web", 1000))) == []


def test_values_of_secrets_are_never_told() -> None:
    obj = pod(container("db", args=["--password=hunter2"], env=[{"name": "TOKEN", "value": "hunter3"}]), container("web"))
    assert "hunter" not in json.dumps(audit.of_manifest(obj, {}, audit_rules.Kernel()))


def test_a_secret_volume_is_found_where_a_neighbour_reaches_it_through_the_root() -> None:
    volume: Json = {"volumes": [{"name": "keys", "secret": {"secretName": "tls"}}]}
    mounts: Json = {"volumeMounts": [{"name": "keys", "mountPath": "/keys"}]}
    finding = ("secret-volume-through-root", "high", "spec.containers[0].volumeMounts[0]")
    assert finding in found(pod(container("db", **mounts), container("web"), **volume))
    assert finding not in found(pod(container("db", **mounts), container("web", **mounts), **volume))
    assert finding not in found(pod(container("db", **mounts), container("web", 1000), **volume))


def test_power_is_found() -> None:
    strong = container("s", securityContext={"capabilities": {"add": ["SYS_PTRACE"]}})
    assert ("powerful-capability", "medium", "spec.containers[0].securityContext.capabilities.add") in found(pod(strong, container("w")))
    privileged = container("s", securityContext={"privileged": True})
    assert ("privileged", "high", "spec.containers[0].securityContext.privileged") in found(pod(privileged))


def test_the_same_uid_is_no_boundary() -> None:
    assert ("no-boundary", "medium", "spec.containers[1].securityContext.runAsUser") in found(pod(container("a"), container("b")))
    assert found(pod(container("a", 1), container("b", 2))) == []


@pytest.mark.parametrize("words", [["/sbin/init"], ["/lib/systemd/systemd"], ["/usr/bin/s6-svscan", "/x"]])
def test_inits_that_insist_on_pid_1_are_found(words: list[str]) -> None:
    assert found(pod(container("a", command=words))) == [("needs-pid-1", "high", "spec.shareProcessNamespace")]
    facts = audit_manifest.ImageFacts(entrypoint=tuple(words), known=True)
    assert found(pod(container("a")), a=facts) == [("needs-pid-1", "high", "spec.shareProcessNamespace")]
    assert found(pod(container("a", command=["app"])), a=facts) == []


def test_reapers_are_a_low_finding_and_tini_with_s_none() -> None:
    assert [severity for _, severity, _ in found(pod(container("a", command=["/usr/bin/tini", "--", "app"])))] == ["low"]
    assert found(pod(container("a", command=["tini", "-s", "--", "app"]))) == []


@pytest.mark.parametrize("script", ["kill 1", "sleep 1; kill -HUP 1", "kill -s TERM 1 && exit", "kill -9 1;"])
def test_scripts_that_signal_process_1_are_found(script: str) -> None:
    hook: Json = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", script]}}}}
    assert found(pod(container("a", **hook))) == [("signals-pid-1", "medium", "spec.containers[0].lifecycle.preStop.exec.command")]


@pytest.mark.parametrize("script", ["kill 10", "kill -1 7", "pkill 1", "skill 1x", "kill $(cat /run/pid)"])
def test_scripts_that_signal_others_are_not(script: str) -> None:
    assert found(pod(container("a", command=["sh", "-c", script]))) == []


def test_an_init_behind_a_symlink_or_a_script_is_found(tmp_path: Path) -> None:
    (tmp_path / "sbin").mkdir()
    (tmp_path / "start").symlink_to("/lib/systemd/systemd")
    (tmp_path / "entry").write_text("#!/usr/bin/tini /bin/sh\n")
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    assert audit_images.init_of([tmp_path], "/start") == "systemd"
    assert audit_images.init_of([tmp_path], "/entry") == "tini"
    assert audit_images.init_of([tmp_path], "/plain") == ""


def test_sarif_names_rule_level_and_field() -> None:
    status = audit.of_manifest(pod(container("a"), container("b")), {}, audit_rules.Kernel())
    document = json.loads(command.rendered([("pod.yaml", {"status": status})], "sarif"))
    (result,) = document["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("no-boundary", "warning")
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "pod.yaml"


def test_a_difference_between_computed_and_tried_is_marked() -> None:
    status = audit.of_manifest(pod(container("a"), container("b")), {}, audit_rules.Kernel())
    status["matrix"][0]["tried"] = status["matrix"][0]["computed"] | {"files": False}
    text = command.table(status, wide=False)
    assert "yes!" in text
    assert "trying it came to something else" in text
