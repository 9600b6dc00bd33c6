"""What is still there after the server is gone, and what the store says about a disk or a file it cannot use."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from podspace import errors
from podspace.kube.json import JSON
from podspace.store import Store
from podspace.store.database import POWER_LOSS_GAP, SCHEMA_VERSION

WRITER = """
import asyncio, sys
from pathlib import Path
from podspace.store import Store

async def main():
    store = Store.open(Path(sys.argv[1]))
    async def write(writer):
        for number in range(1_000_000):
            obj = {"metadata": {"name": f"w{writer}-{number % 50}"}, "data": {"n": number, "text": "x" * 300}}
            if number < 50:
                stored = await store.create("configmaps", obj, durable=bool(writer % 2))
            else:
                stored = await store.update("configmaps", obj, expected_revision=None, durable=bool(writer % 2))
            print(obj["metadata"]["name"], number, stored["metadata"]["resourceVersion"], flush=True)
    await asyncio.gather(*map(write, range(4)))
asyncio.run(main())
"""


def named(name: str, **data: str) -> JSON:
    return {"metadata": {"name": name}, "data": data}


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"

    async def write() -> JSON:
        with Store.open(path) as store:
            await store.create("configmaps", named("gone"))
            await store.delete("configmaps", "", "gone")
            await store.create("configmaps", named("kept", x="ü"))
            return await store.update("configmaps", named("kept", x="ß"), expected_revision=None)

    kept = asyncio.run(write())
    with Store.open(path) as store:
        assert store.list("configmaps") == ([kept], int(kept["metadata"]["resourceVersion"]))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_deletion_raises_the_revision_across_a_restart(tmp_path: Path) -> None:
    async def write() -> int:
        with Store.open(tmp_path / "s.db") as store:
            await store.create("configmaps", named("a"))
            gone = await store.delete("configmaps", "", "a")
            return int(gone["metadata"]["resourceVersion"])

    revision = asyncio.run(write())
    with Store.open(tmp_path / "s.db") as store:
        assert store.revision == revision


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    acknowledged: dict[str, tuple[int, int]] = {}
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(1500):
            _note(acknowledged, writer.stdout.readline())
        writer.kill()
        for line in writer.stdout:
            if line.endswith("\n"):
                _note(acknowledged, line)
    with Store.open(path) as store:
        for name, (number, revision) in acknowledged.items():
            obj = store.get("configmaps", "", name)
            assert obj is not None
            assert obj["data"]["n"] >= number
            assert revision <= int(obj["metadata"]["resourceVersion"]) <= store.revision


def _note(acknowledged: dict[str, tuple[int, int]], line: str) -> None:
    name, number, revision = line.split()
    acknowledged[name] = (int(number), int(revision))


def test_a_full_disk_fails_the_write_and_everything_that_rests_on_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def scenario() -> None:
        with Store.open(path) as store:
            kept = await store.create("configmaps", named("a", x="1"))
            revision = store.revision
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("store.db-wal").stat().st_size + 1, limits[1]))
            try:
                outcomes = await asyncio.gather(
                    store.create("configmaps", named("b")),
                    store.update("configmaps", named("a", x="2"), expected_revision=None),
                    store.update("configmaps", named("b", x="3"), expected_revision=None),
                    store.create("configmaps", named("b")),
                    return_exceptions=True,
                )
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert [type(outcome) for outcome in outcomes] == [errors.Unavailable] * 4
            assert "cannot write to the store" in str(outcomes[0])
            assert store.list("configmaps") == ([kept], revision)
            after = await store.create("configmaps", named("b"))
            assert after["metadata"]["resourceVersion"] == str(revision + 1)
        with Store.open(path) as store:
            assert store.list("configmaps")[0] == [kept, after]

    asyncio.run(scenario())


def test_a_second_server_is_told_who_has_the_store(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db"), pytest.raises(errors.FailedPrecondition, match=r"in use by another server \(process \d+\)"):
        Store.open(tmp_path / "s.db")
    Store.open(tmp_path / "s.db").close()


def test_a_file_that_is_no_database_is_one_clear_error_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"hello world, this is no database. " * 100)
    for _ in range(2):
        with pytest.raises(errors.FailedPrecondition, match=r"is damaged or no podspace store \(file is not a database\)"):
            Store.open(path)
    assert path.read_bytes().startswith(b"hello")


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(errors.FailedPrecondition, match="not a podspace store"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store.open(path).close()
    _execute(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(errors.FailedPrecondition, match="use the podspace release that wrote it"):
        Store.open(path)


def test_a_damaged_page_or_object_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store.open(path).close()
    _execute(path, "INSERT INTO objects VALUES ('pods', 'd', 'p', 5, '{')")
    with pytest.raises(errors.FailedPrecondition, match="pods p: Expecting"):
        Store.open(path)
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(errors.FailedPrecondition, match="is damaged"):
        Store.open(path)


def test_a_path_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "s.db").mkdir()
    with pytest.raises(OSError, match=r"s\.db"):
        Store.open(tmp_path / "s.db")


def test_after_a_power_loss_revisions_that_clients_may_remember_are_not_given_out_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store.open(path).close()
    _execute(path, "UPDATE meta SET value = 0 WHERE key = 'clean'")
    with Store.open(path) as store:
        same_boot = store.revision
    _execute(path, "UPDATE meta SET value = 0 WHERE key = 'clean'")
    _execute(path, "UPDATE meta SET value = 'another' WHERE key = 'boot'")
    with Store.open(path) as store:
        assert store.revision == same_boot + POWER_LOSS_GAP


def _execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()
