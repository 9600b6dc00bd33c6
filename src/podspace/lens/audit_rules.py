"""Who may do what to whom in a shared process namespace: the kernel's rules as a pure function.

Called by ``audit`` with parties made of a manifest (``audit_manifest``) or of running processes (``audit_running``). It must not look
at the machine: all it needs is in ``Party`` and ``Kernel``. Each refusal says which rule refused.
Source: ptrace(2) "Ptrace access mode checking"; kernel/ptrace.c, security/commoncap.c; kill(2); proc(5) hidepid; Yama.rst.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from podspace.lens import model
from podspace.oci import capabilities


def mask(*names: str) -> int:
    """Capabilities as a bit mask: ``mask("SYS_PTRACE")``."""
    return sum(1 << capabilities.NAMES.index(capabilities.qualified(name)) for name in names)


_SYS_PTRACE, _KILL, _READ_ANY = mask("SYS_PTRACE"), mask("KILL"), mask("DAC_OVERRIDE", "DAC_READ_SEARCH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """``yama``: kernel.yama.ptrace_scope, 0 where there is no Yama."""

    yama: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A container's main process. ``uids``, ``gids``: real, effective, saved, file system.

    ``pidns`` and ``userns``: from the outermost to its own, whatever names them. ``hidepid``: of the /proc it has, with ``proc_gid``.
    ``refused_calls``: those of ``audit_filter.CALLS`` that its seccomp filter refuses.
    """

    name: str
    uids: tuple[int, int, int, int] = (0, 0, 0, 0)
    gids: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: tuple[int, ...] = ()
    effective: int = 0
    permitted: int = 0
    pidns: tuple[object, ...] = ("node",)
    userns: tuple[object, ...] = ("node",)
    dumpable: bool = True
    hidepid: int = 0
    proc_gid: int = 0
    refused_calls: frozenset[str] = frozenset()

    def has(self, capability: int, over: Party) -> bool:
        """Whether it has one of these capabilities in the other's user namespace (user_namespaces(7))."""
        return bool(self.effective & capability) and self.userns == over.userns[: len(self.userns)]


def party(name: str, held: model.Credentials) -> Party:
    """Of a running process's credentials; what else is known of it is for ``dataclasses.replace``."""
    return Party(name=name, uids=held.uids, gids=held.gids, groups=held.groups, effective=held.effective, permitted=held.permitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """ "" = may; else why not."""

    see: str = ""  # there is such a process in its /proc
    arguments: str = ""  # /proc/<pid>/cmdline
    environment: str = ""  # /proc/<pid>/environ
    files: str = ""  # /proc/<pid>/root
    signal: str = ""
    trace: str = ""  # ptrace(2) attach: read and write its memory

    def as_dict(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


ABILITIES = tuple(field.name for field in fields(Verdicts))


def verdicts(actor: Party, target: Party, kernel: Kernel) -> Verdicts:
    """What one may do to the other."""
    if target.pidns[: len(actor.pidns)] != actor.pidns:
        why = "not in its process namespace"
        return Verdicts(see=why, arguments=why, environment=why, files=why, signal=why, trace=why)
    read = _access(actor, target, attach=False)
    hidden = _hidden(actor, read, least=2)
    closed = _hidden(actor, read, least=1)
    return Verdicts(
        see=hidden,
        arguments=closed,
        environment=closed or _environ_owner(actor, target) or read,
        files=closed or read,
        signal=_signal(actor, target),
        trace=_trace(actor, target, kernel),
    )


def _hidden(actor: Party, read: str, *, least: int) -> str:
    """hidepid: 1 closes the folders of others, 2 hides them, 4 hides what cannot be traced from everybody."""
    if actor.hidepid == 4:
        return read and "its /proc hides processes it may not trace (hidepid)"
    if actor.hidepid < least or actor.proc_gid in (actor.gids[3], *actor.groups):
        return ""
    return read and "its /proc hides processes of others (hidepid)"


def _access(actor: Party, target: Party, *, attach: bool) -> str:
    """__ptrace_may_access: attaching goes by real ids and permitted capabilities, reading by file system ids and effective ones."""
    if actor.has(_SYS_PTRACE, target):
        return ""
    uid, gid = (actor.uids[0], actor.gids[0]) if attach else (actor.uids[3], actor.gids[3])
    if set(target.uids[:3]) != {uid}:
        return f"another uid ({uid}, not {_ids(target.uids)}) and no SYS_PTRACE"
    if set(target.gids[:3]) != {gid}:
        return f"another gid ({gid}, not {_ids(target.gids)}) and no SYS_PTRACE"
    if not target.dumpable:
        return "the process is not dumpable and there is no SYS_PTRACE"
    if actor.userns != target.userns:
        return "another user namespace and no SYS_PTRACE in it"
    missing = target.permitted & ~(actor.permitted if attach else actor.effective)
    if missing:
        names = ", ".join(name.removeprefix("CAP_") for name in capabilities.of_mask(missing))
        return f"the process has capabilities this one lacks ({names}) and there is no SYS_PTRACE"
    return ""


def _environ_owner(actor: Party, target: Party) -> str:
    """The file is its owner's alone (0400); that of a process that is not dumpable is root's."""
    owner = target.uids[1] if target.dumpable else 0
    if actor.uids[3] == owner or actor.has(_READ_ANY, target):
        return ""
    return f"its environment is uid {owner}'s to read, and there is neither DAC_OVERRIDE nor DAC_READ_SEARCH"


def _signal(actor: Party, target: Party) -> str:
    if "kill" in actor.refused_calls:
        return "its seccomp profile refuses kill"
    real, effective = actor.uids[0], actor.uids[1]
    if {real, effective} & {target.uids[0], target.uids[2]} or actor.has(_KILL, target):
        return ""
    return f"another uid ({effective}, not {_ids(target.uids)}) and no KILL"


def _trace(actor: Party, target: Party, kernel: Kernel) -> str:
    refused = _access(actor, target, attach=True)
    if refused:
        return refused
    if "ptrace" in actor.refused_calls:
        return "its seccomp profile refuses ptrace"
    if kernel.yama >= 3:
        return "this machine allows no ptrace at all (yama)"
    if kernel.yama >= 1 and not actor.has(_SYS_PTRACE, target):
        return "this machine allows ptrace only of one's own children (yama) and there is no SYS_PTRACE"
    return ""


def _ids(ids: tuple[int, int, int, int]) -> str:
    return "/".join(str(number) for number in dict.fromkeys(ids[:3]))
