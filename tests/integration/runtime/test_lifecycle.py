"""Starting, ending, failing, stopping and removing, with real crun and conmon."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from podspace import errors
from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root
OWN = model.NamespaceMode.CONTAINER


async def _next_event(here: rig.Rig) -> model.Event:
    async with asyncio.timeout(30):
        return await anext(here.engine.events())


def test_an_exit_is_told_with_code_reason_and_log(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        good = await here.run(sandbox, "sh", "-c", "echo out; echo err >&2", name="good")
        assert await _next_event(here) == model.Event(kind=model.EventKind.CONTAINER_EXITED, sandbox_id=sandbox, container_id=good)
        status = here.engine.container(good)
        assert (status.state, status.exit_code, status.reason, status.pid) == (model.ContainerState.EXITED, 0, "Completed", 0)
        assert status.created_nanos <= status.started_nanos <= status.finished_nanos <= time.time_ns()
        assert set(here.log(good).split()) == {"out", "err"}
        bad = await here.run(sandbox, "sh", "-c", "exit 7", name="bad")
        status = await here.ended(bad)
        assert (status.exit_code, status.signal, status.reason) == (7, 0, "Error")

    rig.play(root, scene)


def test_what_a_container_leaves_behind_dies_with_it_and_the_neighbours_live(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        neighbour = await here.run(sandbox, "sleep", "1000", name="neighbour")
        main = await here.run(sandbox, "sh", "-c", "trap '' TERM HUP; setsid sleep 1001 & setsid sleep 1002 & exit 3", name="main")
        assert (await here.ended(main)).exit_code == 3
        listed = await here.output(neighbour, "ps", "-o", "args")
        assert "sleep 1001" not in listed
        assert "sleep 1002" not in listed
        assert "/pause" in listed
        assert here.engine.container(neighbour).state is model.ContainerState.RUNNING

    rig.play(root, scene)


def test_stop_asks_first_and_kills_after_the_grace(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        polite = await here.run(sandbox, "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", name="polite")
        deaf = await here.run(sandbox, "sh", "-c", "trap '' TERM; echo up; sleep 1000", name="deaf")
        quit_ = await here.run(
            sandbox, "sh", "-c", "trap 'exit 5' QUIT; echo up; while :; do sleep 0.05; done", name="quit", stop_signal="SIGQUIT"
        )
        for container in (polite, deaf, quit_):
            await here.said(container, "up")  # its trap is set
        began = time.monotonic()
        await asyncio.gather(
            here.engine.stop_container(polite, 30), here.engine.stop_container(deaf, 0.3), here.engine.stop_container(quit_, 30)
        )
        assert time.monotonic() - began < 25
        assert here.engine.container(polite).exit_code == 0
        assert here.log(polite).split() == ["up", "bye"]
        assert (here.engine.container(deaf).exit_code, here.engine.container(deaf).signal) == (137, 9)
        assert here.engine.container(quit_).exit_code == 5
        await here.engine.stop_container(deaf, 1)  # idempotent
        assert here.engine.sandbox(sandbox).state is model.SandboxState.READY

    rig.play(root, scene)


def test_removing_a_running_container_leaves_only_its_log(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sh", "-c", "echo kept; sleep 1000")
        await here.said(container, "kept")
        log = here.engine.container(container).log_path
        await here.engine.remove_container(container)
        await here.engine.remove_container(container)  # idempotent
        assert here.engine.containers() == []
        assert "kept" in log.read_text()
        with pytest.raises(errors.NotFound):
            here.engine.container(container)

    rig.play(root, scene)


@pytest.mark.parametrize(
    ("command", "words"),
    [(("no-such-program",), "no-such-program"), (("/etc/where",), "ermission denied"), (("/etc",), "xecutable")],
    ids=["missing", "not executable", "a folder"],
)
def test_a_program_that_cannot_be_executed_is_a_start_error_in_the_runtimes_words(root: Path, command: tuple[str], words: str) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.create(sandbox, *command)
        with pytest.raises(errors.Internal, match=words):
            await here.engine.start_container(container)
        status = await here.ended(container)
        assert (status.state, status.exit_code, status.reason) == (model.ContainerState.EXITED, 128, "StartError")
        assert words in status.message
        assert status.message.startswith("OCI runtime create failed: crun: ")

    rig.play(root, scene)


def test_a_program_in_no_known_format_ends_at_once_and_its_log_says_why(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        program = root / "program"
        program.write_text("neither ELF nor script\n")
        program.chmod(0o755)
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.create(sandbox, "/program", mounts=(model.Mount(source=program, destination="/program"),))
        await here.engine.start_container(container)
        status = await here.ended(container)
        assert (status.exit_code, status.reason) == (1, "Error")
        assert "Exec format error" in here.log(container)

    rig.play(root, scene)


def test_a_container_over_its_memory_limit_is_oom_killed(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        limit = model.Resources(memory_limit_bytes=16 << 20)
        container = await here.run(sandbox, "sh", "-c", "exec tail -c 200m /dev/zero", resources=limit)
        status = await here.ended(container)
        assert (status.exit_code, status.reason) == (137, "OOMKilled")

    rig.play(root, scene)


def test_when_pause_is_killed_the_sandbox_is_gone_and_told(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sleep", "1000")
        os.kill(here.engine.sandbox(sandbox).pid, signal.SIGKILL)
        kinds = {(await _next_event(here)).kind for _ in range(2)}
        assert kinds == {model.EventKind.SANDBOX_EXITED, model.EventKind.CONTAINER_EXITED}
        assert here.engine.sandbox(sandbox).state is model.SandboxState.NOT_READY
        assert here.engine.container(container).exit_code == 137
        with pytest.raises(errors.FailedPrecondition):
            await here.create(sandbox, "true")
        await here.engine.stop_sandbox(sandbox)
        again = await here.engine.run_sandbox(here.sandbox_config(attempt=1))
        assert here.engine.sandbox(again).state is model.SandboxState.READY

    rig.play(root, scene)


def test_when_conmon_is_killed_the_container_is_ended_and_the_code_unknown(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sh", "-c", "sleep 1001 & sleep 1002")
        os.kill(here.engine._here.container(container).facts.conmon_pid, signal.SIGKILL)
        status = await here.ended(container)
        assert (status.exit_code, status.reason) == (137, "ContainerStatusUnknown")

    rig.play(root, scene)


def test_a_missing_image_or_command_or_runtime_user_is_refused_and_nothing_stays(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        with pytest.raises(errors.NotFound, match="nowhere"):
            await here.engine.create_container(sandbox, model.ContainerConfig(name="x", image="nowhere"))
        with pytest.raises(errors.FailedPrecondition, match="unable to find user nobody-here"):
            await here.create(sandbox, "true", security=model.Security(user="nobody-here"))
        with pytest.raises(errors.FailedPrecondition, match="runAsNonRoot"):
            await here.create(sandbox, "true", security=model.Security(run_as_non_root=True))
        assert here.engine.containers() == []

    rig.play(root, scene)


def test_a_cancelled_creation_leaves_nothing(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        async def attempt(after: int) -> None:
            """Cancel when the task has been resumed ``after`` times by the loop."""
            async with asyncio.TaskGroup() as group:
                task = group.create_task(here.engine.run_sandbox(here.sandbox_config()))
                for _ in range(after):
                    await asyncio.sleep(0)
                task.cancel()

        for after in (0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 50):
            await attempt(after)
            await here.remove_all()
            assert here.leftovers() == []
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        for after in (0, 1, 2, 3, 5, 50, 200):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(here.create(sandbox, "sleep", "1000"))
                for _ in range(after):
                    await asyncio.sleep(0.001)
                task.cancel()
        for container in here.engine.containers():
            await here.engine.remove_container(container.id)

    rig.play(root, scene)


def test_thirty_sandboxes_come_and_go_at_once(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        async def one(number: int) -> None:
            sandbox = await here.engine.run_sandbox(here.sandbox_config(f"pod{number}"))
            await asyncio.gather(*(here.run(sandbox, "sleep", "1000", name=name) for name in "ab"))
            await here.engine.remove_sandbox(sandbox)

        await asyncio.gather(*(one(number) for number in range(30)))

    rig.play(root, scene)


def test_runc_serves_as_well(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000", name="shell")
        assert "/pause" in await here.output(shell, "ps", "-o", "args")
        client = rig.Client(b"stty size; exit 3\n", tty=True, sizes=((90, 33),), hold=True)
        assert await here.engine.exec(shell, ["sh"], client) == 3
        with pytest.raises(errors.Internal, match="no-such-program"):
            await here.engine.exec_sync(shell, ["no-such-program"])
        missing = await here.create(sandbox, "no-such-program", name="missing")
        with pytest.raises(errors.Internal, match="no-such-program"):
            await here.engine.start_container(missing)
        assert (await here.ended(missing)).reason == "StartError"
        await here.engine.stop_container(shell, 0)

    rig.play(root, scene, oci_runtime="runc")


def test_an_image_may_have_more_layers_than_fit_into_a_page_of_options(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        layers = [root / "layers" / f"{number:0100d}" for number in range(100)]
        for number, layer in enumerate(layers):
            layer.mkdir(parents=True)
            (layer / "which").write_text(f"{number}\n")
            (layer / f"of-{number}").touch()
        base = here.images.known["busybox"]
        here.images.known["busybox"] = replace(base, layers=(*base.layers, *layers))
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sleep", "1000")
        assert await here.output(container, "sh", "-c", "cat /which; ls / | grep -c ^of-") == "99\n100\n"

    rig.play(root, scene)
