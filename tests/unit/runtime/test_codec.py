from __future__ import annotations

import json
from pathlib import Path

import pytest

from podspace.runtime import codec, layout, model, records

SANDBOX = records.SandboxIntent(
    id=model.SandboxId("s1"),
    config=model.SandboxConfig(
        name="web",
        uid="u",
        namespace="default",
        log_directory=Path("/log"),
        dns=model.DnsConfig(servers=("1.1.1.1",)),
        pid=model.NamespaceMode.POD,
        sysctls={"a": "b"},
        resources=model.Resources(memory_limit_bytes=5),
    ),
    created_nanos=7,
    cgroup="/podspace/podu",
)
CONTAINER = records.ContainerIntent(
    id=model.ContainerId("c1"),
    sandbox_id=model.SandboxId("s1"),
    config=model.ContainerConfig(
        name="web",
        image="sha256:1",
        command=("a", "b"),
        env=(("K", "V"),),
        mounts=(model.Mount(source=Path("/a"), destination="/b", readonly=True),),
        pid=model.NamespaceMode.TARGET,
        pid_target=model.ContainerId("c0"),
        security=model.Security(uid=0, masked_paths=(), seccomp=model.SeccompProfile(kind="Localhost", localhost_path=Path("/p"))),
    ),
    created_nanos=8,
    cgroup="/podspace/podu/c1",
    log_path=Path("/log/web/0.log"),
)


def test_records_survive_being_written_and_read() -> None:
    for record in (SANDBOX, CONTAINER, records.ContainerFacts(user=model.ResolvedUser(uid=1, gid=2, supplemental_groups=(3,)))):
        assert codec.decode(type(record), json.loads(json.dumps(codec.encode(record)))) == record


def test_an_empty_list_is_not_the_same_as_none_was_given() -> None:
    again = codec.decode(records.ContainerIntent, codec.encode(CONTAINER))
    assert again.config.security.masked_paths == ()
    assert again.config.security.readonly_paths is None


def test_fields_of_a_newer_server_are_ignored() -> None:
    assert codec.decode(records.SandboxIntent, codec.encode(SANDBOX) | {"colour": "green"}) == SANDBOX


def test_a_torn_or_foreign_record_is_none(tmp_path: Path) -> None:
    file = tmp_path / "intent.json"
    assert layout.load(records.SandboxIntent, file) is None
    for text in ("", "{", "[]", '{"id": "s"}', '{"id": "s", "config": 5, "created_nanos": 1, "cgroup": ""}'):
        file.write_text(text)
        assert layout.load(records.SandboxIntent, file) is None, text
    layout.write_json(file, codec.encode(SANDBOX))
    assert layout.load(records.SandboxIntent, file) == SANDBOX
    assert [path.name for path in tmp_path.iterdir()] == ["intent.json"]


@pytest.mark.parametrize("record", [SANDBOX, CONTAINER])
def test_what_is_default_is_not_written(record: records.SandboxIntent | records.ContainerIntent) -> None:
    assert "annotations" not in codec.encode(record)["config"]
