"""The probe: tries under a container's exact credentials what the audit says it may do. A program of its own, run by ``audit_probe``.

Standard library only, and nothing is imported once it is inside: the files there are the container's. For each actor it joins its
process and mount namespaces, becomes it (ids, capabilities, no_new_privs, seccomp filter), and tries: a look, a read of nothing, signal
0, a seize that is let go at once. It is never dumpable, so that nobody in there may look into it. Results: a line of JSON for each pair.
Source: setns(2), pidfd_open(2) (fdinfo), capabilities(7), seccomp(2), ptrace(2).
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import sys

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER = 0x00020000, 0x20000000, 0x10000000
PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 8, 24, 38, 47
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
CAPABILITY_VERSION_3 = 0x20080522
PTRACE_SEIZE = 0x4206

libc = ctypes.CDLL(None, use_errno=True)


class CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def prctl(option: int, *values: int) -> None:
    check(libc.prctl(option, *[ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]))


def become(held: dict[str, object], bpf: bytes) -> None:
    """Take over ids and capabilities: bounding set, groups and ids first, while we still may.

    Without no_new_privs a filter takes privilege, so it comes first, as with an OCI runtime; with it, last.
    """
    if bpf and not held["no_new_privs"]:
        install(bpf)
    numbers = {key: value for key, value in held.items() if isinstance(value, int)}
    for capability in range(64):
        if not numbers["bounding"] >> capability & 1 and libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # beyond the last one this kernel has
    uids, gids, groups = held["uids"], held["gids"], held["groups"]
    assert isinstance(uids, list)
    assert isinstance(gids, list)
    assert isinstance(groups, list)
    os.setgroups(groups)
    os.setresgid(*gids[:3])
    prctl(PR_SET_KEEPCAPS, 1)
    os.setresuid(*uids[:3])
    set_capabilities(numbers)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        if numbers["ambient"] >> capability & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
    if held["no_new_privs"]:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    if bpf and held["no_new_privs"]:
        install(bpf)


def install(bpf: bytes) -> None:
    """A seccomp filter of 8 bytes an instruction."""
    program = SockFprog(len(bpf) // 8, bpf)
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def set_capabilities(held: dict[str, int]) -> None:
    header = CapHeader(CAPABILITY_VERSION_3, 0)
    data = (CapData * 2)()
    for half in range(2):
        for name in ("effective", "permitted", "inheritable"):
            setattr(data[half], name, held[name] >> 32 * half & 0xFFFFFFFF)
    check(libc.capset(ctypes.byref(header), data))


def number_of(pidfd: int) -> int:
    """The process's number in the /proc that is ours now; 0 if it is not in there."""
    fd = os.open(f"/proc/self/fdinfo/{pidfd}", os.O_RDONLY)
    try:
        text = os.read(fd, 4096)
    finally:
        os.close(fd)
    for line in text.splitlines():
        if line.startswith(b"Pid:"):
            return max(int(line.split()[1]), 0)
    return 0


def can(attempt: object) -> bool:
    assert callable(attempt)
    try:
        return attempt() is not False
    except OSError:
        return False


def read_some(path: str) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.read(fd, 1)
    finally:
        os.close(fd)
    return True


def seize(pid: int) -> None:
    check(libc.ptrace(PTRACE_SEIZE, pid, None, None))


def tried(pid: int) -> dict[str, bool]:
    """What can be done to the process of that number. A seized one is let go when we end, and was never stopped."""
    if not pid:
        return dict.fromkeys(("see", "arguments", "environment", "files", "signal", "trace"), False)
    return {
        "see": can(lambda: os.stat(f"/proc/{pid}")),
        "arguments": can(lambda: read_some(f"/proc/{pid}/cmdline")),
        "environment": can(lambda: read_some(f"/proc/{pid}/environ")),
        "files": can(lambda: os.stat(f"/proc/{pid}/root/.")),
        "signal": can(lambda: os.kill(pid, 0)),
        "trace": can(lambda: seize(pid)),
    }


def inside(actor: dict[str, object]) -> None:
    """In the actor's namespaces: find the numbers while we may, become it, try, report."""
    targets, held = actor["targets"], actor["credentials"]
    assert isinstance(targets, list)
    assert isinstance(held, dict)
    numbers = [(target["name"], number_of(target["pidfd"])) for target in targets]
    bpf = actor["filter"]
    assert isinstance(bpf, str)
    become(held, base64.b64decode(bpf))
    for name, pid in numbers:
        os.write(1, json.dumps({"actor": actor["name"], "target": name, "tried": tried(pid)}).encode() + b"\n")


def as_actor(actor: dict[str, object]) -> None:
    """In a child: the pidns that was joined is that of our children only, so there is a grandchild."""
    pidfd = actor["pidfd"]
    assert isinstance(pidfd, int)
    check(libc.setns(pidfd, CLONE_NEWNS | CLONE_NEWPID | (CLONE_NEWUSER if actor["mapped"] else 0)))
    child = os.fork()
    if not child:
        inside(actor)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def main() -> None:
    prctl(PR_SET_DUMPABLE, 0)
    request = json.load(sys.stdin)
    sys.meta_path.clear()  # an import inside would run the container's files, before we have become it
    sys.path.clear()
    for actor in request["actors"]:
        child = os.fork()
        if not child:
            try:
                as_actor(actor)
            except BaseException as error:  # reported; never back into the parent's loop
                os.write(2, f"{actor['name']}: {error}\n".encode())
                os._exit(1)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
