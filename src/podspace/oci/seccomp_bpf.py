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
import logging
import os
from collections.abc import Sequence
from typing import Any

from podspace.oci import seccomp_default

log = logging.getLogger(__name__)

ANNOTATION = "run.oci.seccomp_bpf_data"
_ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000}
_OPERATORS = {"SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
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


def compile_profile(profile: dict[str, Any]) -> bytes:
    """Return struct sock_filter[]. Raises: OSError when libseccomp is missing or refuses."""
    library = _library()
    context = library.seccomp_init(_action(profile["defaultAction"], _EPERM))
    if not context:
        raise OSError("seccomp_init failed")
    handle = ctypes.c_void_p(context)
    try:
        for name in profile["architectures"]:
            token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
            _check(library.seccomp_arch_add(handle, ctypes.c_uint32(token)), name, ignore=_EEXIST)
        for rule in profile["syscalls"]:
            _add(library, handle, rule)
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


def _add(library: ctypes.CDLL, handle: ctypes.c_void_p, rule: dict[str, Any]) -> None:
    conditions: Sequence[dict[str, Any]] = rule.get("args", ())
    arguments = (_Argument * max(len(conditions), 1))()
    for slot, condition in zip(arguments, conditions, strict=False):
        slot.arg, slot.op = condition["index"], _OPERATORS[condition["op"]]
        slot.datum_a, slot.datum_b = condition["value"], condition.get("valueTwo", 0)
    action = ctypes.c_uint32(_action(rule["action"], rule.get("errnoRet", _EPERM)))
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != -1:  # __NR_SCMP_ERROR: this libseccomp does not know it; then it stays forbidden
            _check(library.seccomp_rule_add_array(handle, action, number, len(conditions), arguments), name)


def _export(library: ctypes.CDLL, handle: ctypes.c_void_p) -> bytes:
    with os.fdopen(os.memfd_create("seccomp"), "w+b") as file:
        _check(library.seccomp_export_bpf(handle, file.fileno()), "seccomp_export_bpf")
        file.seek(0)
        return file.read()
