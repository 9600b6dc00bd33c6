"""Which of the calls that reach a neighbour a seccomp profile refuses."""

from __future__ import annotations

from typing import Any

from podspace.lens import audit_filter
from podspace.oci import capabilities, seccomp_default


def profile(default: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules)}


def rule(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


def test_no_profile_and_the_default_one_refuse_neither() -> None:
    assert audit_filter.refused({}) == frozenset()
    assert audit_filter.refused(seccomp_default.profile(capabilities.DEFAULT, "x86_64")) == frozenset()


def test_what_is_not_named_goes_the_default_way() -> None:
    assert audit_filter.refused(profile("ERRNO", rule("ALLOW", "kill", "read"))) == {"ptrace"}
    assert audit_filter.refused(profile("ALLOW", rule("KILL_PROCESS", "kill"))) == {"kill"}
    assert audit_filter.refused(profile("LOG")) == frozenset()


def test_what_some_arguments_let_through_is_let_through() -> None:
    some = {"args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}
    assert audit_filter.refused(profile("ERRNO", rule("ALLOW", "ptrace", **some), rule("ALLOW", "kill"))) == frozenset()
    assert audit_filter.refused(profile("ALLOW", rule("ERRNO", "ptrace", **some))) == frozenset()
