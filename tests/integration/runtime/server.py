"""A server of nothing but an engine, to be killed: reads a line, does it, prints a line of JSON.

Started by ``test_recovery`` as ``python -m tests.integration.runtime.server ROOT``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from podspace.aio import fds, process
from podspace.runtime import model
from tests.integration.runtime import rig


async def _do(here: rig.Rig, verb: str, arguments: list[Any]) -> Any:
    match verb:
        case "sandbox":
            return await here.engine.run_sandbox(here.sandbox_config(arguments[0]))
        case "run":
            sandbox, name, tty, *command = arguments
            return await here.run(sandbox, *command, name=name, tty=tty, stdin=tty)
        case "exec":
            return await here.output(*arguments)
        case "attach":
            client = rig.Client(tty=True, hold=True)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(here.engine.attach(arguments[0], client))
                client.send(arguments[1].encode())
                await client.saw(arguments[2].encode())
                task.cancel()
            return client.out.decode()
        case "event":
            event = await anext(here.engine.events())
            return [event.kind, event.container_id]
        case "status":
            return [
                [[item.id, item.pid, item.state] for item in here.engine.sandboxes()],
                [[item.id, item.pid, item.state, item.exit_code, item.reason] for item in here.engine.containers()],
                here.network.recovered,
                os.readlink("/proc/self/ns/mnt"),
            ]
        case "remove":
            await here.remove_all()
            return here.leftovers()
        case "die":  # at a step: after so many resumptions of the loop
            step, what = arguments
            async with asyncio.TaskGroup() as group:
                group.create_task(_die_after(step))
                await _half(here, what)
            return "survived"
    raise ValueError(verb)


async def _half(here: rig.Rig, what: str) -> None:
    sandbox = model.SandboxId(await here.engine.run_sandbox(here.sandbox_config("half")))
    if what == "container":
        await here.run(sandbox, "sleep", "1000")
        await here.engine.remove_sandbox(sandbox)


async def _die_after(milliseconds: float) -> None:
    await asyncio.sleep(milliseconds / 1000)
    os.kill(os.getpid(), signal.SIGKILL)


async def _main(root: Path) -> None:
    here = rig.Rig(root)
    await here.engine.recover()
    os.set_blocking(0, False)
    async with asyncio.TaskGroup() as group:
        service = group.create_task(here.engine.run(asyncio.Event()))
        print(json.dumps("ready"), flush=True)
        while line := await fds.read(0):
            verb, *arguments = json.loads(line)
            async with asyncio.timeout(20):
                print(json.dumps(await _do(here, verb, arguments)), flush=True)
        service.cancel()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    process.install_child_watcher()
    asyncio.run(_main(folder))
