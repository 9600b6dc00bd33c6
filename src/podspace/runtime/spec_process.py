"""The ``process`` object of an OCI spec: arguments, environment, user, capabilities. Pure.

Called by ``spec_container``; exec uses the result as its template. Source: OCI runtime-spec config.md; cri-api api.proto.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from typing import Any

from podspace import errors
from podspace.oci import apparmor_default, capabilities, defaults, users
from podspace.runtime import machine, model, ports

_SIGNAL = re.compile(r"(?P<number>[0-9]{1,3})|(?:SIG)?(?P<name>[A-Z][A-Z0-9]*)(?P<offset>[+-][0-9]{1,2})?")


def arguments(config: model.ContainerConfig, image: ports.ImageConfig) -> list[str]:
    """Entrypoint and arguments after Docker's and Kubernetes' rules. Raises: FailedPrecondition when there are none."""
    argv = [*config.command, *config.args] if config.command else [*image.entrypoint, *(config.args or image.cmd)]
    if not argv:
        raise errors.FailedPrecondition(f"container {config.name}: no command specified, neither by the image nor by the container")
    return argv


def _pairs(env: Sequence[str] | Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for item in env:
        if isinstance(item, str):
            name, _, value = item.partition("=")
            yield name, value
        else:
            yield item


def environment(config: model.ContainerConfig, image: ports.ImageConfig, *, hostname: str, home: str) -> list[str]:
    """The container's variables win over the image's, and those over what every container has."""
    variables = {"PATH": defaults.PATH, "HOSTNAME": hostname}
    if config.tty:
        variables["TERM"] = "xterm"
    variables.update(_pairs(image.env))
    variables.update(config.env)
    variables.setdefault("HOME", home)
    return [f"{name}={value}" for name, value in variables.items()]


def stop_signal(config: model.ContainerConfig, image: ports.ImageConfig) -> int:
    """The number; SIGTERM when nobody says, or says nonsense."""
    return signal_number(config.stop_signal or image.stop_signal or "SIGTERM")


_LAST_COUNTED_UP = 15  # of the real-time signals; the others are named from the end


def signal_number(name: str) -> int:
    """``SIGTERM``, ``TERM``, ``15`` and ``SIGRTMIN+3``.

    SIGTERM for what the kernel would refuse: a Pod must be stoppable, whatever its image says.
    """
    found = _SIGNAL.fullmatch(name.strip().upper())
    if found is None:
        return int(signal.SIGTERM)
    base = signal.Signals.__members__.get(f"SIG{found['name']}", 0) if found["name"] else 0
    number = base + int(found["offset"] or found["number"] or 0)
    return number if (base or not found["name"]) and 0 < number <= signal.SIGRTMAX else int(signal.SIGTERM)


def signal_name(number: int) -> str:
    """The inverse: ``SIGQUIT``, ``SIGRTMIN+3``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        offset = number - signal.SIGRTMIN
        return f"SIGRTMIN+{offset}" if offset <= _LAST_COUNTED_UP else f"SIGRTMAX-{signal.SIGRTMAX - number}"


def capability_names(config: model.ContainerConfig, here: machine.Machine) -> tuple[str, ...]:
    """What the container may have, at most. Raises: FailedPrecondition for what is no capability, or what the server itself has not got."""
    security = config.security
    added = (*security.capabilities_add, *security.capabilities_ambient)
    for name in map(capabilities.qualified, added):
        if name not in capabilities.NAMES and name != "CAP_ALL":
            raise errors.FailedPrecondition(f'container {config.name}: unknown capability "{name}" to add')
        if name not in here.capabilities and name != "CAP_ALL":
            raise errors.FailedPrecondition(f"container {config.name}: {name} cannot be added: the server itself has not got it")
    return capabilities.resolve(add=added, drop=security.capabilities_drop, privileged=security.privileged, available=here.capabilities)


def process(
    config: model.ContainerConfig,
    image: ports.ImageConfig,
    here: machine.Machine,
    *,
    user: users.User,
    hostname: str,
) -> dict[str, Any]:
    """The object."""
    return {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": [user.gid, *user.groups]},
        "args": arguments(config, image),
        "env": environment(config, image, hostname=hostname, home=user.home),
        "cwd": config.working_dir or image.working_dir or "/",
        "capabilities": capabilities.oci(capability_names(config, here), ambient=config.security.capabilities_ambient),
        "noNewPrivileges": config.security.no_new_privs,
        **apparmor_profile(config, here),
        "oomScoreAdj": here.oom_score(config.resources.oom_score_adj),
    }


def apparmor_profile(config: model.ContainerConfig, here: machine.Machine) -> dict[str, str]:
    """``apparmorProfile``, if there is to be one. Privileged containers are not confined. Raises: Unsupported, FailedPrecondition."""
    wanted = config.security.apparmor
    if wanted.kind in ("Unset", "Unconfined") or config.security.privileged:
        return {}
    if not here.apparmor:
        raise errors.Unsupported(f"container {config.name}: apparmor is not supported: it is not enabled on the host")
    name = apparmor_default.NAME if wanted.kind == "RuntimeDefault" else wanted.name
    if not here.has_apparmor_profile(name):
        raise errors.FailedPrecondition(f'container {config.name}: apparmor profile "{name}" is not loaded')
    return {"apparmorProfile": name}
