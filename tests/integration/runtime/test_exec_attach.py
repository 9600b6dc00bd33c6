"""exec and attach: bytes, terminals, exit codes, and clients that go away."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest

from podspace import errors
from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root


async def _dropped(use: Awaitable[object]) -> None:
    with pytest.raises(ConnectionResetError):
        await use


def test_exec_returns_output_and_exit_code(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000", env=(("A", "1"),))
        result = await here.engine.exec_sync(shell, ["sh", "-c", "echo $A; echo two >&2; exit 42"])
        assert result == model.ExecResult(exit_code=42, stdout=b"1\n", stderr=b"two\n")
        assert (await here.engine.exec_sync(shell, ["sh", "-c", "kill -9 $$"])).exit_code == 137
        client = rig.Client(b"abc")
        assert await here.engine.exec(shell, ["tr", "a-z", "A-Z"], client) == 0
        assert client.out == b"ABC"

    rig.play(root, scene)


def test_exec_of_what_is_not_there_says_so_in_the_runtimes_words(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        for tty in (False, True):
            client = rig.Client(tty=tty)
            with pytest.raises(errors.Internal, match="no-such-program"):
                await here.engine.exec(shell, ["no-such-program"], client)
            assert not client.out + client.err  # told once, not also as output of a process that never was
        await here.engine.stop_container(shell, 0)
        with pytest.raises(errors.FailedPrecondition, match="not running"):
            await here.engine.exec_sync(shell, ["true"])

    rig.play(root, scene)


def test_a_hundred_megabytes_pass_unharmed_in_both_directions(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        data = os.urandom(1 << 20) * 100
        client = rig.Client(data)
        assert await here.engine.exec(shell, ["cat"], client) == 0
        assert hashlib.sha256(client.out).digest() == hashlib.sha256(data).digest()

    rig.play(root, scene)


def test_a_slow_reader_holds_the_process_back(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        class Slow(rig.Client):
            async def write_stdout(self, data: bytes | memoryview) -> None:
                await super().write_stdout(data)
                await asyncio.Event().wait()

        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        client = Slow()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(here.engine.exec(shell, ["yes"], client))
            await client.saw(b"y\n")
            assert len(client.out) <= 64 << 10
            task.cancel()

    rig.play(root, scene)


def test_exec_that_takes_too_long_is_killed_with_its_session(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        with pytest.raises(errors.TimedOut):
            await here.engine.exec_sync(shell, ["sh", "-c", "sleep 1001 & sleep 1002"], timeout_seconds=0.3)
        listed = await here.output(shell, "ps", "-o", "args")
        assert "sleep 1001" not in listed
        assert "sleep 1002" not in listed

    rig.play(root, scene)


@pytest.mark.parametrize("tty", [False, True])
def test_a_client_that_drops_takes_its_process_along(root: Path, tty: bool) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        client = rig.Client(tty=tty, hold=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(_dropped(here.engine.exec(shell, ["sh", "-c", "trap '' HUP; echo up; sleep 1001"], client)))
            await client.saw(b"up")
            client.disconnected.set()
        assert "sleep 1001" not in await here.output(shell, "ps", "-o", "args")

    rig.play(root, scene)


def test_a_background_child_that_keeps_the_pipe_does_not_hold_exec(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        result = await here.engine.exec_sync(shell, ["sh", "-c", "sleep 1001 & echo started"], timeout_seconds=10)
        assert result.stdout == b"started\n"
        assert "sleep 1001" in await here.output(shell, "ps", "-o", "args")

    rig.play(root, scene)


def test_exec_with_a_terminal_has_size_signals_and_exit_code(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        client = rig.Client(tty=True, hold=True, sizes=((100, 40),))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(here.engine.exec(shell, ["sh"], client))
            client.send(b"tty; echo $TERM; until stty size | grep '40 100'; do :; done\n")
            await client.saw(b"40 100\r\n")
            client.send(b"sh -c 'trap \"echo ca''ught; exit\" INT; echo rea''dy; while :; do sleep 0.05; done'\n")
            await client.saw(b"ready")
            client.send(b"\x03")
            await client.saw(b"caught")
            client.resize(120, 50)
            client.send(b"until stty size | grep '50 120'; do :; done\n")
            await client.saw(b"50 120\r\n")
            client.send(b"exit 9\n")
            assert await task == 9
        assert b"/dev/pts/0" in client.out
        assert b"xterm" in client.out

    rig.play(root, scene)


def test_no_descriptor_of_the_server_is_seen_inside(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        assert (await here.output(shell, "sh", "-c", "ls /proc/self/fd /proc/1/fd | tr '\\n' ' '")).split() == (
            ["/proc/1/fd:", "0", "1", "2", "3", "/proc/self/fd:", "0", "1", "2", "3"]  # 3: /pause's signalfd, ls's own folder
        )
        main = (await here.output(shell, "sh", "-c", "ls -l /proc/$(pidof sleep)/fd")).splitlines()
        assert len([line for line in main if "->" in line]) == 3

    rig.play(root, scene)


def test_two_clients_attach_to_one_terminal_and_leave_it_running(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sh", stdin=True, tty=True)
        one, two = rig.Client(tty=True, hold=True), rig.Client(tty=True, hold=True, sizes=((111, 44),))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(here.engine.attach(shell, one)), group.create_task(_dropped(here.engine.attach(shell, two)))]
            two.send(b"until stty size | grep '44 111'; do :; done\n")
            await asyncio.gather(one.saw(b"44 111\r\n"), two.saw(b"44 111\r\n"))
            one.send(b"x=5\n")
            tasks[0].cancel()
            two.send(b"echo still=$x\n")
            await two.saw(b"still=5\r\n")
            two.disconnected.set()
        assert here.engine.container(shell).state is model.ContainerState.RUNNING
        last = rig.Client(tty=True, hold=True)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(here.engine.attach(shell, last))
            last.send(b"exit 4\n")
            await task
        assert (await here.ended(shell)).exit_code == 4
        assert "still=5" in here.log(shell)

    rig.play(root, scene)


def test_attach_without_a_terminal_separates_streams_and_closes_stdin_once(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        cat = await here.run(sandbox, "sh", "-c", "cat; echo done >&2", name="cat", stdin=True, stdin_once=True)
        data = os.urandom(1 << 20)
        client = rig.Client(data)
        await here.engine.attach(cat, client)
        assert bytes(client.out) == data
        assert client.err == b"done\n"
        assert (await here.ended(cat)).exit_code == 0
        with pytest.raises(errors.FailedPrecondition, match="not running"):
            await here.engine.attach(cat, rig.Client())

    rig.play(root, scene)


def test_the_one_client_of_a_container_that_only_spoke_before_is_sent_to_its_log(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        early = await here.run(sandbox, "sh", "-c", "echo hi; read line", name="early", stdin=True, stdin_once=True)
        async with asyncio.timeout(10):
            while "hi" not in here.log(early):  # noqa: ASYNC110 - conmon tells nobody what it has logged
                await asyncio.sleep(0.01)
        with pytest.raises(errors.FailedPrecondition, match="ended before it was attached to"):
            await here.engine.attach(early, rig.Client(b"x\n"))
        silent = await here.run(sandbox, "sh", "-c", "read line", name="silent", stdin=True, stdin_once=True)
        await here.engine.attach(silent, rig.Client(b"x\n"))

    rig.play(root, scene)


def test_port_forward_reaches_a_server_on_loopback(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sh", "-c", "ip link set lo up; nc -ll -p 8080 -e cat", security=model.Security(privileged=True))
        await here.output(shell, "sh", "-c", "until netstat -ltn | grep -q 8080; do :; done")
        reader, writer = await here.engine.port_forward(sandbox, 8080)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()
        await writer.wait_closed()
        with pytest.raises(errors.Unavailable, match="localhost:9 inside the pod, IPv4: connection refused"):
            await here.engine.port_forward(sandbox, 9)

    rig.play(root, scene)


@pytest.mark.parametrize("oci_runtime", ["crun", "runc"])
def test_what_exec_starts_is_killed_for_memory_as_readily_as_its_container(root: Path, oci_runtime: str) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000", resources=model.Resources(oom_score_adj=876))
        assert await here.output(shell, "cat", "/proc/self/oom_score_adj") == "876\n"

    rig.play(root, scene, oci_runtime=oci_runtime)
