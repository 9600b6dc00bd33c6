"""Who sees whom: the table of process namespaces, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root
OWN, NODE, TARGET = model.NamespaceMode.CONTAINER, model.NamespaceMode.NODE, model.NamespaceMode.TARGET


def _commands(ps: str) -> list[str]:
    return [line.split(None, 3)[-1] for line in ps.splitlines()[1:]]


def test_in_a_shared_namespace_pause_is_pid_1_and_neighbours_see_each_other(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        web, shell = await asyncio.gather(
            here.run(sandbox, "sleep", "1001", name="web", env=(("COLOUR", "green"),)), here.run(sandbox, "sleep", "1002", name="shell")
        )
        listed = await here.output(shell, "ps", "-o", "pid,args")
        rows = {args: pid for pid, args in (line.split(None, 1) for line in listed.splitlines()[1:])}
        assert rows["/pause"] == "1"
        assert {"sleep 1001", "sleep 1002"} <= set(rows)
        environ = await here.output(shell, "cat", f"/proc/{rows['sleep 1001']}/environ")
        assert "COLOUR=green" in environ.split("\0")
        await here.output(web, "sh", "-c", "echo mine >/tmp/note")
        assert await here.output(shell, "cat", f"/proc/{rows['sleep 1001']}/root/tmp/note") == "mine\n"

    rig.play(root, scene)


def test_kill_hup_1_reaches_pause_and_nothing_happens(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        pause = here.engine.sandbox(sandbox).pid
        await here.output(shell, "kill", "-HUP", "1")
        os.kill(pause, signal.SIGHUP)
        assert await here.output(shell, "cat", "/proc/1/comm") == "pause\n"
        assert here.engine.sandbox(sandbox).state is model.SandboxState.READY

    rig.play(root, scene)


def test_pause_reaps_orphans(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        shell = await here.run(sandbox, "sleep", "1000")
        # the orphan ends after its parent; the pipe tells when, without a clock
        await here.output(shell, "sh", "-c", "mkfifo /tmp/f; (cat /tmp/f >/dev/null & ) ; exit 0")
        await here.output(shell, "sh", "-c", "until ps -o ppid,args | grep -q '^ *1 cat /tmp/f'; do usleep 5000; done")
        await here.output(shell, "sh", "-c", ": > /tmp/f; while ps -o args | grep -q '^[c]at'; do usleep 5000; done")
        await here.output(shell, "sh", "-c", "while cat /proc/[0-9]*/stat 2>/dev/null | grep -q ') Z '; do usleep 5000; done")

    rig.play(root, scene)


def test_without_sharing_each_container_is_pid_1_and_alone(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config(pid=OWN))
        one, two = await asyncio.gather(
            here.run(sandbox, "sleep", "1001", name="one", pid=OWN), here.run(sandbox, "sleep", "1002", name="two", pid=OWN)
        )
        assert _commands(await here.output(one, "ps", "-o", "pid,ppid,user,args")) == ["sleep 1001", "ps -o pid,ppid,user,args"]
        assert (await here.output(two, "cat", "/proc/1/cmdline")).split("\0")[:2] == ["sleep", "1002"]

    rig.play(root, scene)


def test_a_target_container_joins_the_namespace_of_another(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config(pid=OWN))
        app = await here.run(sandbox, "sleep", "1001", name="app", pid=OWN)
        debugger = await here.run(sandbox, "sleep", "1002", name="debugger", pid=TARGET, pid_target=app)
        assert (await here.output(debugger, "cat", "/proc/1/cmdline")).split("\0")[:2] == ["sleep", "1001"]
        assert "sleep 1002" in _commands(await here.output(app, "ps", "-o", "pid,ppid,user,args"))

    rig.play(root, scene)


def test_the_hosts_namespace_shows_the_host(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config(pid=NODE, network=NODE, ipc=NODE))
        container = await here.run(sandbox, "sleep", "1000", pid=NODE)
        for kind in ("pid", "net", "ipc", "uts"):
            assert await here.output(container, "readlink", f"/proc/self/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}") + "\n"
        assert await here.output(container, "cat", f"/proc/{os.getpid()}/comm") == Path("/proc/self/comm").read_text()

    rig.play(root, scene)


def test_all_containers_share_network_ipc_uts_and_shm(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config("box", pid=OWN))
        one, two = [await here.run(sandbox, "sleep", "1000", name=name, pid=OWN) for name in ("one", "two")]
        for kind in ("net", "ipc", "uts"):
            assert await here.output(one, "readlink", f"/proc/self/ns/{kind}") == await here.output(
                two, "readlink", f"/proc/self/ns/{kind}"
            )
            assert await here.output(one, "readlink", f"/proc/self/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}") + "\n"
        await here.output(one, "sh", "-c", "echo here >/dev/shm/x")
        assert await here.output(two, "cat", "/dev/shm/x") == "here\n"
        assert (await here.output(two, "hostname")) == "box\n"
        assert "10.99.0.2\tbox" in await here.output(two, "cat", "/etc/hosts")

    rig.play(root, scene)
