"""Create a container: its root, its OCI spec, its conmon; the first process waits to be started.

Called by ``Engine.create_container``; several at once for one sandbox is normal. What the OCI runtime refuses is kept and shown by
``start``, because that is where Kubernetes expects it (RunContainerError, StartError).
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.aio import cleanup
from podspace.linux import idmap, inroot, pidfd
from podspace.oci import apparmor_default, cdi, conmon, runtimes, users
from podspace.runtime import (
    codec,
    container_stop,
    image_mounts,
    layout,
    model,
    pause,
    ports,
    propagation,
    records,
    rootfs,
    sandbox_run,
    spec_container,
    spec_process,
    userns,
    world,
)

_UNDO_SECONDS = 30


async def create(here: world.World, sandbox: records.Sandbox, config: model.ContainerConfig) -> records.Container:
    """Return the container, created or with the reason why it cannot start in ``facts.failure``.

    Cancelled or failed: nothing of it is left. Raises: NotFound (image), FailedPrecondition, ToolError, OSError.
    """
    if not sandbox.ready:
        raise errors.FailedPrecondition(f"sandbox {sandbox.id} is not ready; run a new one")
    image = image_mounts.find(here.images, config.image)
    container = _intend(here, sandbox, config)
    here.containers[container.id] = container
    try:
        await _build(here, sandbox, container, image)
    except BaseException:
        await cleanup.undo(container_stop.discard(here, container), _UNDO_SECONDS)
        raise
    return container


def _intend(here: world.World, sandbox: records.Sandbox, config: model.ContainerConfig) -> records.Container:
    identifier = model.ContainerId(secrets.token_hex(32))
    intent = records.ContainerIntent(
        id=identifier,
        sandbox_id=sandbox.id,
        config=config,
        created_nanos=time.time_ns(),
        cgroup=sandbox.intent.runtime.leaf(sandbox.intent.cgroup, identifier),
        runtime=sandbox.intent.runtime,
        log_path=sandbox.config.log_directory / config.log_path if config.log_path else None,
    )
    return records.Container(intent=intent, rootfs=here.layout.container(identifier).rootfs)


async def _build(here: world.World, sandbox: records.Sandbox, container: records.Container, image: ports.Image) -> None:
    here.expect_moves()
    folder = here.layout.container(container.id)
    folder.make(sandbox.config.user_namespace.owner()[1] if sandbox.config.user_namespace else 0)
    layout.write_json(folder.intent, codec.encode(container.intent))
    if container.intent.log_path is not None:
        container.intent.log_path.parent.mkdir(parents=True, exist_ok=True)
    # a thread cannot be cancelled: the undo must not begin while it still mounts
    user, mounts = await cleanup.finish(asyncio.to_thread(_prepare_root, here, sandbox, container, image), _UNDO_SECONDS)
    place = _place(here, sandbox, container)
    config = dataclasses.replace(container.config, mounts=mounts)
    if config.security.apparmor.kind == "RuntimeDefault":
        await cleanup.finish(asyncio.to_thread(apparmor_default.ensure, here.layout.scratch), _UNDO_SECONDS)
    spec = spec_container.build(config, image.config, here.machine_of(container), place, user)
    if container.config.cdi_devices:
        spec = await cleanup.finish(asyncio.to_thread(cdi.inject, spec, container.config.cdi_devices), _UNDO_SECONDS)
    container.process = spec["process"]
    if spec["process"]["cwd"] != "/":
        _make_cwd(container.rootfs, spec["process"]["cwd"], sandbox.config.user_namespace)
    layout.write_json(folder.oci_config, spec)
    container.learn(
        user=model.ResolvedUser(uid=user.uid, gid=user.gid, supplemental_groups=user.groups),
        stop_signal=spec_process.stop_signal(container.config, image.config),
    )
    await _start_conmon(here, container, folder)
    userns.release(folder.mapped_mounts)
    pause.show_as_pause(sandbox)
    here.layout.save_container(container)


def _prepare_root(
    here: world.World, sandbox: records.Sandbox, container: records.Container, image: ports.Image
) -> tuple[users.User, tuple[model.Mount, ...]]:
    """Mount what must be there before the OCI runtime looks; tell whom the container runs as, and its mounts with all their sources."""
    folder = here.layout.container(container.id)
    propagation.check(container.config.mounts, mapped=sandbox.config.user_namespace is not None)
    with userns.within(sandbox.config.user_namespace, sandbox.facts.pid) as within:
        rootfs.mount(image.layers, here.layout.snapshot(container.id), container.rootfs, within)
        mounts = image_mounts.prepare(here.images, container.config.mounts, folder.image_mounts, within.fd)
        mounts = userns.prepare(mounts, folder.mapped_mounts, within)
    user = rootfs.user(container.rootfs, container.config, image.config.user)
    userns.check_user(container.config.name, user, within.id_map)
    return user, mounts


def _make_cwd(root: Path, cwd: str, id_map: idmap.IdMap | None) -> None:
    """A working folder the image lacks is made, as every other runtime does; where it cannot be, the OCI runtime says why."""
    try:
        inroot.make_folders(root, cwd, owner=id_map.owner() if id_map else (0, 0))
    except OSError:
        return


def _place(here: world.World, sandbox: records.Sandbox, container: records.Container) -> spec_container.Place:
    target_pid = 0
    if container.config.pid is model.NamespaceMode.TARGET:
        target = here.container(container.config.pid_target or "")
        if target.state is not model.ContainerState.RUNNING or target.intent.sandbox_id != sandbox.id:
            raise errors.FailedPrecondition(
                f"container {container.config.name}: target container {target.id} is not running in this sandbox"
            )
        target_pid = target.facts.pid
    return spec_container.Place(
        sandbox=sandbox.config,
        folder=here.layout.sandbox(sandbox.id),
        pause_pid=sandbox.facts.pid,
        target_pid=target_pid,
        hostname=sandbox_run.hostname_of(sandbox.config),
        rootfs=container.rootfs,
        cgroup=sandbox.intent.runtime.oci_path(sandbox.intent.cgroup, container.id),
    )


async def _start_conmon(here: world.World, container: records.Container, folder: layout.Folder) -> None:
    config = container.config
    request = conmon.Request(
        identifier=container.id,
        name=config.name,
        bundle=folder.path,
        exit_dir=here.layout.exits,
        scratch=here.layout.scratch,
        pid_file=folder.pid_file,
        conmon_pid_file=folder.conmon_pid_file,
        runtime_log=folder.runtime_log,
        log_path=container.intent.log_path,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        terminal=config.tty,
    )
    try:
        pid = await conmon.create(request, here.runtime_of(container))
    except errors.ToolError as error:
        container.learn(failure=failure(here, container, "create", error))
        return
    adopt(here, container, pid=pid, conmon_pid=int(folder.conmon_pid_file.read_text()))


def failure(here: world.World, container: records.Container, verb: str, error: errors.ToolError) -> str:
    """What a status says of a container that could not be made or started."""
    return f"OCI runtime {verb} failed: {runtimes.words(here.runtime_of(container).program, error.stderr_tail)}"


def adopt(
    here: world.World, container: records.Container, *, pid: int, conmon_pid: int, known: records.ContainerFacts | None = None
) -> None:
    """Hold on to a container's processes and watch for its end. ``known``: start times that must match (after a restart)."""
    container.handle = pidfd.ProcessHandle.open(pid, known.start_time if known else None)
    container.conmon = pidfd.ProcessHandle.open(conmon_pid, known.conmon_start_time if known else None)
    if known is None:
        container.learn(
            pid=pid,
            start_time=container.handle.identity.start_time if container.handle else 0,
            conmon_pid=conmon_pid,
            conmon_start_time=container.conmon.identity.start_time if container.conmon else 0,
        )
    here.when_gone(container.conmon, lambda: container_stop.conmon_ended(here, container))


def process_template(here: world.World, container: records.Container) -> dict[str, Any]:
    """The OCI process object the container was created with; a copy the caller may change."""
    if container.process is None:
        import json

        container.process = json.loads(here.layout.container(container.id).oci_config.read_text())["process"]
    return dict(container.process)
