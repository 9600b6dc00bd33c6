"""The default seccomp profile, compiled once for all containers instead of by crun for each.

crun without libgcrypt (Debian's) has no cache and spends some 10 ms of every container's start on it. It takes a compiled filter in an
annotation instead; the profile itself stays in the spec, for every other runtime and for whoever reads it. libseccomp, which crun needs
anyway, does the work here as it does there. Without it there is simply no annotation.
Called by ``runtime`` when it writes an OCI spec. Source: crun(1), run.oci.seccomp_bpf_data; seccomp_rule_add(3); seccomp_export_bpf(3).
"""

from __future__ import annotations

import base64
import ctypes
import functools
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from podspace.oci import seccomp_default

log = logging.getLogger(__name__)

ANNOTATION = "run.oci.seccomp_bpf_data"
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_EPERM = 1
_EEXIST = 17


class _Argument(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64))


@functools.lru_cache(maxsize=64)
def compiled(capabilities: tuple[str, ...], machine: str) -> str:
    """Return the default profile for these capabilities as base64 of BPF, "" when it cannot be compiled here. Some 10 ms the first time."""
    try:
        return base64.b64encode(compile_profile(seccomp_default.profile(capabilities, machine))).decode()
    except OSError as error:
        log.warning("cannot compile the seccomp profile once for all, every container will: %s", error)
        return ""


@functools.lru_cache(maxsize=64)
def encoded(profile: str) -> str:
    """The same for a profile as JSON text.  Raises: OSError."""
    return base64.b64encode(compile_profile(json.loads(profile))).decode()


def compile_profile(profile: dict[str, Any]) -> bytes:
    """Return struct sock_filter[]. Raises: OSError when libseccomp is missing or refuses; KeyError for what needs a tracer or listener."""
    library = _library()
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet") or _EPERM)
    context = library.seccomp_init(default)
    if not context:
        raise OSError("seccomp_init failed")
    handle = ctypes.c_void_p(context)
    try:
        for name in profile.get("architectures") or ():
            token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
            _check(library.seccomp_arch_add(handle, ctypes.c_uint32(token)), name, ignore=_EEXIST)
        for rule in profile.get("syscalls") or ():
            action = _action(rule["action"], rule.get("errnoRet") or _EPERM)
            if action != default:  # libseccomp takes no rule that says what is so anyway
                _add(library, handle, rule, action)
        return _export(library, handle)
    finally:
        library.seccomp_release(handle)


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    return library


def _action(name: str, errno: int) -> int:
    return _ACTIONS[name] | (errno if name == "SCMP_ACT_ERRNO" else 0)


def _check(status: int, what: str, *, ignore: int = 0) -> None:
    if status < 0 and -status != ignore:
        raise OSError(-status, os.strerror(-status), what)


def _add(library: ctypes.CDLL, handle: ctypes.c_void_p, rule: dict[str, Any], action: int) -> None:
    conditions: Sequence[dict[str, Any]] = rule.get("args") or ()
    arguments = (_Argument * max(len(conditions), 1))()
    for slot, condition in zip(arguments, conditions, strict=False):
        slot.arg, slot.op = condition["index"], _OPERATORS[condition["op"]]
        slot.datum_a, slot.datum_b = condition["value"], condition.get("valueTwo", 0)
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != -1:  # __NR_SCMP_ERROR: this libseccomp does not know it; then it stays forbidden
            _check(library.seccomp_rule_add_array(handle, ctypes.c_uint32(action), number, len(conditions), arguments), name)


def _export(library: ctypes.CDLL, handle: ctypes.c_void_p) -> bytes:
    with os.fdopen(os.memfd_create("seccomp"), "w+b") as file:
        _check(library.seccomp_export_bpf(handle, file.fileno()), "seccomp_export_bpf")
        file.seek(0)
        return file.read()
