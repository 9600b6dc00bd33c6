"""What a machine must have to run Pods: each question asked by trying it, and how to get what is missing.

Called by ``doctor``, which prints everything, and by ``serve``, which refuses when something fails. Nothing is left behind: what must
be tried is tried in a child process with namespaces of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podspace import errors
from podspace.image import registries_conf
from podspace.linux import cgroups, mounts, procfs, rtnetlink, syscalls
from podspace.oci import runtimes
from podspace.runtime import pause, userns
from podspace.settings import Settings

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
CONTROLLERS = ("cpu", "memory", "pids")
CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_RESOURCE = 21, 12, 24
MIB = 1 << 20
FULL_BYTES, LOW_BYTES = 100 * MIB, 1024 * MIB


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One answer. ``remedy``: what to do about it, "" when it is well."""

    level: Level
    name: str
    text: str
    remedy: str = ""


def run(settings: Settings) -> Iterator[Check]:
    """Every check, one after the other. Without root only the first: the others would all say the same."""
    root = _root()
    yield root
    if root.level is Level.FAIL:
        return
    for check in (_kernel, _namespaces, chroot, _cgroups, _network):
        yield check()
    yield _overlay(settings)
    yield _user_namespaces(settings)
    yield _runtime(settings)
    yield from _handlers(settings)
    yield _program("conmon", "watches containers while the server is away")
    yield _pause()
    yield _nft()
    yield from _forwarding(settings)
    yield _resources()
    yield _disk(settings)
    yield _registries(settings)


def _ok(name: str, text: str) -> Check:
    return Check(level=Level.OK, name=name, text=text)


def _fail(name: str, text: str, remedy: str) -> Check:
    return Check(level=Level.FAIL, name=name, text=text, remedy=remedy)


def _warn(name: str, text: str, remedy: str) -> Check:
    return Check(level=Level.WARN, name=name, text=text, remedy=remedy)


def _root() -> Check:
    if os.geteuid() != 0:
        return _fail("root", "this is not root", "run it as root: sudo podspace ...")
    missing = [name for number, name in ((CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")) if not _capable(number)]
    if missing:
        return _fail("root", f"root without {' and '.join(missing)}", "run on the machine itself, or in a privileged container")
    return _ok("root", "root, with the capabilities that are needed")


def _kernel() -> Check:
    name, release = "kernel", os.uname().release
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.close(syscalls.openat2(-100, "/", os.O_PATH))
    except OSError as error:
        return _fail(
            name,
            f"{release} lacks pidfd_open or openat2: {error.strerror}",
            "Linux 5.6 or newer is needed; a seccomp filter may forbid them",
        )
    return _ok(name, f"{release}, with pidfd and openat2")


def _namespaces() -> Check:
    missing = [name for name in NAMESPACES if not os.path.exists(f"/proc/self/ns/{name}")]
    if missing:
        return _fail(
            "namespaces", f"the kernel has no {', '.join(missing)} namespaces", "use a kernel built with them, as distributions do"
        )
    error = in_child(lambda: syscalls.unshare(syscalls.CLONE_NEWNS))
    if error:
        return _fail("namespaces", f"cannot make one: {error}", "a container or a seccomp filter forbids it; run on the machine itself")
    return _ok("namespaces", ", ".join(NAMESPACES))


def chroot() -> Check:
    """Whoever enters a mount namespace stands at its root. Below a chroot that is outside: so would be every ``exec``."""

    def attempt() -> None:
        here = os.stat("/")
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(own, syscalls.CLONE_NEWNS)
        if not os.path.samestat(here, os.stat("/")):
            raise OSError(0, "this is a chroot", "/")

    if in_child(attempt):
        return _fail("root folder", "this is a chroot: `exec` would leave the container", "use pivot_root(8), or run on the machine itself")
    return _ok("root folder", "the mount namespace's own")


def _cgroups() -> Check:
    table = mounts.table()
    mode = cgroups.mode(table)
    if mode is cgroups.Mode.NONE:
        return _fail("cgroups", "/sys/fs/cgroup is not mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    has = _v2_controllers() if mode is cgroups.Mode.V2 else list(cgroups.hierarchies(table))
    missing = [name for name in CONTROLLERS if name not in has]
    if missing:
        return _warn(
            "cgroups",
            f"{mode}, without {', '.join(missing)}: such limits have no effect",
            "enable the controllers on the kernel's command line",
        )
    note = "; crun is called in a mount namespace without the v2 mount" if mode is cgroups.Mode.HYBRID else ""
    return _ok("cgroups", f"{mode}, with {', '.join(CONTROLLERS)}{note}")


def _v2_controllers() -> list[str]:
    return (cgroups.ROOT / "cgroup.controllers").read_text().split()


def _network() -> Check:
    def attempt() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        with rtnetlink.Route() as route:
            route.add_bridge("probe0", mac=bytes.fromhex("0a580a580001"))
            bridge = route.link("probe0")
            route.add_veth(
                "probe1",
                master=bridge.index if bridge else 0,
                mtu=1500,
                peer="probe2",
                peer_pid=os.getpid(),
                peer_mac=bytes.fromhex("0a580a580002"),
            )

    error = in_child(attempt)
    if error:
        return _fail("network", f"cannot make a bridge and a veth pair: {error}", "modprobe bridge veth")
    return _ok("network", "bridge and veth")


def _overlay(settings: Settings) -> Check:
    folder = _existing(settings.paths.lib)

    def attempt() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
        options = ",".join(f"{name}={scratch / part}" for name, part in (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")))
        syscalls.mount("overlay", str(scratch / "merged"), "overlay", 0, options)

    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".podspace-probe-") as name:
            scratch = Path(name)
            for part in ("lower", "upper", "work", "merged"):
                (scratch / part).mkdir()
            error = in_child(attempt)
    except OSError as failed:
        return _fail("overlayfs", f"cannot write to {folder}: {failed.strerror}", "choose another place with --root")
    if error:
        remedy = "modprobe overlay; if the place is itself on overlayfs or NFS, choose one on ext4, xfs or tmpfs with --root"
        return _fail("overlayfs", f"cannot mount one in {folder}: {error}", remedy)
    return _ok("overlayfs", f"works in {folder}")


def _user_namespaces(settings: Settings) -> Check:
    """Only Pods with hostUsers: false need them."""
    trouble: list[str] = []

    def attempt() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
        found = userns.trial(_existing(settings.paths.run), scratch, (scratch / "one", scratch / "two"))
        if found:
            raise OSError(0, "no user namespaces", found)

    try:
        with tempfile.TemporaryDirectory(dir=_existing(settings.paths.lib), prefix=".podspace-probe-") as name:
            scratch = Path(name)
            for part in ("one", "two"):
                (scratch / part).mkdir()
            trouble.append(in_child(attempt))
    except OSError as failed:
        trouble.append(f"{failed.strerror} ({failed.filename})")
    if trouble[0]:
        return _warn("user namespaces", trouble[0], "Pods with hostUsers: false are refused, all others run")
    return _ok("user namespaces", "Pods can have their own (hostUsers: false)")


def _runtime(settings: Settings) -> Check:
    try:
        found = runtimes.find(settings.oci_runtime)
    except errors.Unsupported:
        if settings.oci_runtime:
            return _fail("OCI runtime", f"{settings.oci_runtime} not found", "install it, or leave out --oci-runtime")
        return _fail("OCI runtime", "neither crun nor runc found; it starts containers", "apt install crun")
    return _ok("OCI runtime", str(found))


def _handlers(settings: Settings) -> Iterator[Check]:
    for name, program in settings.runtime_handlers.items():
        try:
            yield _ok(f"runtime handler {name}", str(runtimes.find(program)))
        except errors.Unsupported:
            yield _fail(f"runtime handler {name}", f"{program} not found", "install it, or leave out this --runtime-handler")


def _pause() -> Check:
    try:
        return _ok("catatonit", str(pause.program()))
    except errors.Unsupported:
        return _fail("catatonit", "not found; it is /pause, PID 1 of a Pod", "apt install catatonit")


def _program(name: str, purpose: str) -> Check:
    found = shutil.which(name)
    return _ok(name, found) if found else _fail(name, f"not found; it {purpose}", f"apt install {name}")


def _nft() -> Check:
    found = shutil.which("nft")
    return (
        _ok("nft", found)
        if found
        else _warn("nft", "not found: Pods reach the host and each other, but nothing else", "apt install nftables")
    )


def _forwarding(settings: Settings) -> Iterator[Check]:
    """Docker, and some firewalls, drop what is forwarded for others: no rule of ours can let it through, for every table has its say."""
    for family, program in (("ip", "iptables"), ("ip6", "ip6tables")) if shutil.which("nft") else ():
        done = subprocess.run(["nft", "list", "table", family, "filter"], capture_output=True, text=True, check=False)
        if drops_forwarded(done.stdout, settings.bridge_name):
            ways = [f"{program} -I FORWARD -{way} {settings.bridge_name} -j ACCEPT" for way in "io"]
            yield _warn("forwarding", f"{program} drops what Pods and others say to each other ({family} filter FORWARD)", "; ".join(ways))


def drops_forwarded(table: str, bridge: str) -> bool:
    """Whether a listing of ``filter`` has a FORWARD chain that drops and does not know the bridge."""
    chain = table.partition("chain FORWARD {")[2].partition("}")[0]
    return "hook forward" in chain and "policy drop" in chain and f'ifname "{bridge}"' not in chain


def _resources() -> Check:
    if _capable(CAP_SYS_RESOURCE):
        return _ok("limits", "may be raised (CAP_SYS_RESOURCE)")
    text = "no CAP_SYS_RESOURCE: rlimits cannot be raised, nor oom_score_adj lowered below what the server has"
    return _warn("limits", text, "Pods run all the same; give the server CAP_SYS_RESOURCE if they need it")


def _disk(settings: Settings) -> Check:
    folder = _existing(settings.paths.lib)
    free = shutil.disk_usage(folder).free
    text = f"{free // MIB} MiB free in {folder}"
    if free < FULL_BYTES:
        return _fail("disk", text, "make room: podspace image rm, or another place with --root")
    return (
        _ok("disk", text) if free >= LOW_BYTES else _warn("disk", text, "images need room: podspace image rm, or another place with --root")
    )


def _registries(settings: Settings) -> Check:
    try:
        found = registries_conf.load(settings.registries_conf)
    except errors.PodspaceError as error:
        return _fail("registries", str(error), "correct it: containers-registries.conf(5)")
    return _ok("registries", ", ".join(registry.prefix for registry in found.registries) or "as image names say")


def in_child(attempt: Callable[[], None]) -> str:
    """Call it in a forked child, whose namespaces and mounts go with it; return "" or what the kernel said."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            attempt()
        except OSError as error:
            os.write(writing, f"{error.strerror} ({error.filename})".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        message = said.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return message or ("" if status == 0 else f"the attempt ended with status {status}")


def _capable(number: int) -> bool:
    return bool(procfs.capabilities("CapEff") >> number & 1)


def _existing(folder: Path) -> Path:
    """The nearest folder above that is there already."""
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())
