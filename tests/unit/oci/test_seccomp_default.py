from __future__ import annotations

from typing import Any

from podspace.oci import capabilities, seccomp_default


def _allowed(profile: dict[str, Any]) -> set[str]:
    return {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule for name in rule["names"]}


def _rules(profile: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [rule for rule in profile["syscalls"] if name in rule["names"]]


def test_everyday_calls_are_allowed_and_dangerous_ones_are_not() -> None:
    profile = seccomp_default.profile(capabilities.DEFAULT, "x86_64")
    allowed = _allowed(profile)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"read", "openat", "execve", "ptrace", "chroot", "arch_prctl", "futex_waitv"} <= allowed
    assert not {"mount", "bpf", "kexec_load", "init_module", "setns", "unshare", "io_uring_setup", "keyctl", "add_key", "reboot"} & allowed


def test_namespaces_cannot_be_made_without_sys_admin() -> None:
    profile = seccomp_default.profile((), "x86_64")
    (clone,) = _rules(profile, "clone")
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    (clone3,) = _rules(profile, "clone3")
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_capabilities_open_the_calls_they_are_about() -> None:
    allowed = _allowed(seccomp_default.profile(("CAP_SYS_ADMIN", "CAP_SYS_TIME"), "aarch64"))
    assert {"mount", "clone", "clone3", "setns", "clock_settime", "sync_file_range2"} <= allowed
    assert "reboot" not in allowed


def test_sockets_of_two_families_are_refused() -> None:
    rules = _rules(seccomp_default.profile((), "x86_64"), "socket")
    families = [family for family in range(46) if any(_matches(rule["args"][0], family) for rule in rules)]
    assert sorted(set(range(46)) - set(families)) == [38, 40]


def _matches(argument: dict[str, Any], value: int) -> bool:
    wanted: int = argument["value"]
    return {"SCMP_CMP_LT": value < wanted, "SCMP_CMP_EQ": value == wanted, "SCMP_CMP_GT": value > wanted}[argument["op"]]


def test_32_bit_programs_are_covered_by_the_same_policy() -> None:
    assert seccomp_default.profile((), "x86_64")["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert seccomp_default.profile((), "unheard-of")["architectures"] == []
