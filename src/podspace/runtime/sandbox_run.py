"""Run a sandbox: its cgroup, /dev/shm and files, then /pause with the namespaces, then its network.

Called by ``Engine.run_sandbox``. Each step is undone by ``sandbox_stop.discard`` alone, from the intent written first: by us when a step
fails or is cancelled, by ``recover`` when the server was killed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import secrets
import time
from pathlib import Path

from podspace import errors, settings
from podspace.aio import cleanup, together
from podspace.linux import idmap, mounts, netns, pidfd
from podspace.network.attachment import Attachment
from podspace.runtime import (
    cgroup_groups,
    codec,
    layout,
    model,
    oci_choice,
    pause,
    records,
    sandbox_stop,
    spec_sandbox,
    userns,
    world,
)

_UNDO_SECONDS = 30


async def run(here: world.World, config: model.SandboxConfig) -> records.Sandbox:
    """Return the sandbox once it is ready and has its address.

    Cancelled or failed: nothing of it is left. Raises: AlreadyExists, ToolError, OSError.
    """
    _check_unique(here, config)
    if config.user_namespace is not None:
        await userns.check(here)
    identifier = model.SandboxId(secrets.token_hex(32))
    sandbox = records.Sandbox(intent=_intend(here, config, identifier))
    here.sandboxes[identifier] = sandbox
    try:
        await _build(here, sandbox)
    except BaseException:
        await cleanup.undo(sandbox_stop.discard(here, sandbox), _UNDO_SECONDS)
        raise
    return sandbox


def _intend(here: world.World, config: model.SandboxConfig, identifier: model.SandboxId) -> records.SandboxIntent:
    parent = config.cgroup_parent
    by_systemd = bool(parent) and here.settings.cgroup_driver == settings.SYSTEMD
    if by_systemd and not oci_choice.is_slice(parent):
        raise errors.BadRequest(f'cgroup_parent "{parent}" is not a slice, and the cgroup driver is systemd')
    if by_systemd:
        parent = oci_choice.expand(parent)
    return records.SandboxIntent(
        id=identifier,
        config=config,
        created_nanos=time.time_ns(),
        cgroup=parent or f"{cgroup_groups.path(here, config.cgroup_group)}/{_cgroup_name(config, identifier)}",
        runtime=here.runtimes.choose(config.runtime_handler, systemd_cgroups=by_systemd),
    )


def _check_unique(here: world.World, config: model.SandboxConfig) -> None:
    wanted = (config.owner, config.namespace, config.name, config.uid, config.attempt)
    for other in here.sandboxes.values():
        known = other.config
        if (known.owner, known.namespace, known.name, known.uid, known.attempt) == wanted:
            raise errors.AlreadyExists(f"sandbox {config.namespace}/{config.name} attempt {config.attempt} exists: {other.id}")


def _cgroup_name(config: model.SandboxConfig, identifier: str) -> str:
    """The kubelet's name for a Pod's; a uid that came over the CRI can be anything, and empty."""
    return f"pod{config.uid}" if config.owner == "node" else identifier


async def _build(here: world.World, sandbox: records.Sandbox) -> None:
    here.expect_moves()
    folder = here.layout.sandbox(sandbox.id)
    folder.make(sandbox.config.user_namespace.owner()[1] if sandbox.config.user_namespace else 0)
    layout.write_json(folder.intent, codec.encode(sandbox.intent))
    ips = await _start(here, sandbox, folder)
    pause.show_as_pause(sandbox)
    sandbox.learn(ips=ips, ready=True)
    here.layout.save_sandbox(sandbox)


async def _start(here: world.World, sandbox: records.Sandbox, folder: layout.Folder) -> tuple[str, ...]:
    """Start /pause and attach the sandbox to its network; return its addresses.

    Both at once, in a netns made before, unless a user namespace is to own that: there it is /pause's to make. What takes longer begins.
    """
    config = sandbox.config
    connected = config.network is not model.NamespaceMode.NODE
    if not connected or config.user_namespace is not None:
        _prepare_files(here, sandbox, folder)
        await _run_pause(here, sandbox, folder)
        return await _attach(here, sandbox, folder, sandbox.facts.pid) if connected else ()
    with netns.New(functools.partial(_set_sysctls, config)) as new:
        _prepare_files(here, sandbox, folder)
        thread = await new.thread()
        attaching, starting = _attach(here, sandbox, folder, thread), _run_pause(here, sandbox, folder, of_thread=thread)
        if here.network.takes_long(config.owner):
            return (await together.both(attaching, starting))[0]
        return (await together.both(starting, attaching))[1]


async def _run_pause(here: world.World, sandbox: records.Sandbox, folder: layout.Folder, *, of_thread: int = 0) -> None:
    """``of_thread``: it is in the netns that /pause is to join."""
    _write_spec(here, sandbox, folder, of_thread=of_thread)
    await here.runtime_of(sandbox).run_detached(sandbox.id, folder.path, pid_file=folder.pid_file, log=folder.runtime_log)
    _adopt_pause(here, sandbox, int(folder.pid_file.read_text()))


async def _attach(here: world.World, sandbox: records.Sandbox, folder: layout.Folder, pid: int) -> tuple[str, ...]:
    ips = await here.network.attach(attachment(sandbox, pid))
    layout.write_text(folder.hosts, spec_sandbox.hosts(hostname_of(sandbox.config), ips))
    _give_away(folder, sandbox.config.user_namespace)
    return ips


def _set_sysctls(config: model.SandboxConfig) -> None:
    """Those of the network, in the netns this thread is in. Raises: FailedPrecondition."""
    for name, value in spec_sandbox.sysctls(config).items():
        if spec_sandbox.is_of_network(name):
            try:
                spec_sandbox.sysctl_file(name).write_text(value)
            except OSError as error:
                raise errors.FailedPrecondition(f"sysctl {name}={value}: {error.strerror}") from error


def attachment(sandbox: records.Sandbox, pid: int) -> Attachment:
    """What it asks of its network. ``pid``: of whoever is in its netns."""
    config = sandbox.config
    return Attachment(
        sandbox_id=sandbox.id,
        pid=pid,
        owner=config.owner,
        namespace=config.namespace,
        name=config.name,
        uid=config.uid,
        host_ports=config.host_ports,
        annotations=config.annotations,
        dns_servers=config.dns.servers,
        dns_searches=config.dns.searches,
        dns_options=config.dns.options,
        cgroup=sandbox.intent.cgroup,
    )


def hostname_of(config: model.SandboxConfig) -> str:
    """The host's own where its UTS namespace is used."""
    if config.network is model.NamespaceMode.NODE or not config.hostname:
        return os.uname().nodename
    return config.hostname


def _prepare_files(here: world.World, sandbox: records.Sandbox, folder: layout.Folder) -> None:
    config, hostname = sandbox.config, hostname_of(sandbox.config)
    if not sandbox.intent.runtime.systemd_cgroups:  # systemd makes the slice, and keeps what it knows of
        limits = cgroup_groups.limits(config.resources)
        if config.owner == "node":  # who asks for no huge pages has none, as under a kubelet, which sees to its own cgroups itself
            limits = dataclasses.replace(limits, huge_pages_named_only=True)
        here.cgroups.create(sandbox.intent.cgroup, limits)
    mount_shm(sandbox, folder)
    folder.hostname.write_text(hostname + "\n")
    folder.resolv_conf.write_text(spec_sandbox.resolv_conf(config.dns, _text(Path("/etc/resolv.conf"))))
    folder.hosts.write_text(_text(Path("/etc/hosts")) if config.network is model.NamespaceMode.NODE else spec_sandbox.hosts(hostname, ()))
    _give_away(folder, config.user_namespace)


def _write_spec(here: world.World, sandbox: records.Sandbox, folder: layout.Folder, *, of_thread: int) -> None:
    spec = spec_sandbox.build(
        sandbox.config,
        here.machine_of(sandbox),
        rootfs=pause.make_rootfs(here.layout),
        program=pause.program(),
        hostname=hostname_of(sandbox.config),
        cgroup=sandbox.intent.runtime.oci_path(sandbox.intent.cgroup, sandbox.id),
        netns=f"/proc/{os.getpid()}/task/{of_thread}/ns/net" if of_thread else "",
    )
    layout.write_json(folder.oci_config, spec)


def _give_away(folder: layout.Folder, id_map: idmap.IdMap | None) -> None:
    """The files containers share are root's: in a user namespace that is another root."""
    if id_map is not None:
        for file in (folder.hostname, folder.resolv_conf, folder.hosts):
            os.chown(file, *id_map.owner())


def mount_shm(sandbox: records.Sandbox, folder: layout.Folder) -> None:
    """Give the sandbox its /dev/shm, if it has one of its own and it is not mounted (any more)."""
    folder.shm.mkdir(exist_ok=True)
    if sandbox.config.ipc is not model.NamespaceMode.NODE and not os.path.ismount(folder.shm):
        owner, group = sandbox.config.user_namespace.owner() if sandbox.config.user_namespace else (0, 0)
        mounts.tmpfs(folder.shm, size_bytes=spec_sandbox.SHM_BYTES, owner=owner, group=group)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _adopt_pause(here: world.World, sandbox: records.Sandbox, pid: int) -> None:
    handle = pidfd.ProcessHandle.open(pid)
    if handle is None:
        raise errors.Internal(f"sandbox {sandbox.id}: /pause ended as soon as it was started")
    sandbox.handle = handle
    sandbox.learn(pid=pid, start_time=handle.identity.start_time)
    here.layout.save_sandbox(sandbox)
    here.when_gone(handle, lambda: sandbox_stop.pause_ended(here, sandbox))
