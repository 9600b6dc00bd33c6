"""The cgroups above those of containers: of a sandbox, and of a group of sandboxes that share what the machine gives them.

A caller who knows classes of sandboxes (``node``: a kubelet's QoS classes) puts each into a group, so that when the CPU is wanted by all,
it is divided between the groups first. Called by ``sandbox_run``, ``recover`` and ``Engine``; a group's cgroup is there as long as any
sandbox's is, and only then has limits.
"""

from __future__ import annotations

from collections.abc import Iterator

from podspace.linux import cgroups
from podspace.runtime import container_update, model, records, world

NAMES = ("burstable", "besteffort")


def path(here: world.World, group: str) -> str:
    """The group's cgroup; "" is the server's own."""
    return f"{here.settings.cgroup_root}/{group}" if group else here.settings.cgroup_root


def of_sandboxes(here: world.World) -> Iterator[str]:
    """Paths of all cgroups in which there are, or were, sandboxes' containers."""
    groups = [path(here, name) for name in NAMES]
    for parent in (here.settings.cgroup_root, *groups):
        yield from (child for child in here.cgroups.children(parent) if child not in groups)


def prune(here: world.World) -> None:
    """Where no sandbox is left: remove what is empty of theirs, the groups and the server's cgroup. What still holds something stays.

    An OCI runtime that was killed while it made a container leaves a sandbox's cgroup that was removed behind again, empty.
    """
    for stray in of_sandboxes(here):
        here.cgroups.prune(stray)
    for name in (*NAMES, ""):
        here.cgroups.prune(path(here, name))


def share(here: world.World, group: str, cpu_shares: int) -> None:
    """Weigh a group against its neighbours. Not there (nothing is in it): fine."""
    if here.cgroups.exists(path(here, group)):
        here.cgroups.adjust(path(here, group), cgroups.Limits(cpu_shares=cpu_shares))


def update(here: world.World, sandbox: records.Sandbox, wanted: model.Resources) -> None:
    """Change the limits of a whole sandbox; what is not named stays as it is. Raises: OSError."""
    here.cgroups.adjust(sandbox.intent.cgroup, limits(wanted))
    sandbox.learn(resources=container_update.merged(sandbox.config.resources or model.Resources(), wanted))
    here.layout.save_sandbox(sandbox)


def limits(wanted: model.Resources | None) -> cgroups.Limits:
    """The part of ``Resources`` that a cgroup of cgroups can have."""
    if wanted is None:
        return cgroups.Limits()
    return cgroups.Limits(
        cpu_shares=wanted.cpu_shares,
        cpu_quota_micros=wanted.cpu_quota_micros,
        cpu_period_micros=wanted.cpu_period_micros,
        memory_limit_bytes=wanted.memory_limit_bytes,
        pids_limit=wanted.pids_limit,
        hugepage_limit_bytes=wanted.hugepage_limit_bytes,
    )
