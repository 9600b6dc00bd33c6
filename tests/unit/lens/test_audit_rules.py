"""The kernel's rules, one at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

from podspace.lens import audit_rules

SHARED = ("node", "pod")
ROOT = audit_rules.mask("DAC_OVERRIDE", "KILL", "CHOWN")


def party(name: str, uid: int = 0, held: int | None = None, **more: object) -> audit_rules.Party:
    own = (ROOT if uid == 0 else 0) if held is None else held
    base = audit_rules.Party(name=name, uids=(uid,) * 4, gids=(0,) * 4, effective=own, permitted=own, pidns=SHARED)
    return dataclasses.replace(base, **more)  # type: ignore[arg-type]  # whatever the test wants


def may(actor: audit_rules.Party, target: audit_rules.Party, yama: int = 0) -> set[str]:
    found = audit_rules.verdicts(actor, target, audit_rules.Kernel(yama=yama)).as_dict()
    return {ability for ability, why in found.items() if not why}


def test_the_same_uid_with_as_many_capabilities_may_everything() -> None:
    assert may(party("a"), party("b")) == set(audit_rules.ABILITIES)
    assert may(party("a", 1000), party("b", 1000)) == set(audit_rules.ABILITIES)


def test_nothing_is_seen_of_another_process_namespace() -> None:
    assert may(party("a", pidns=("node", "a")), party("b", pidns=("node", "b"))) == set()
    assert may(party("a", pidns=("node",)), party("b", pidns=("node", "b"))) == set(audit_rules.ABILITIES)
    assert may(party("a", pidns=("node", "b")), party("b", pidns=("node",))) == set()


def test_another_uid_sees_arguments_and_no_more() -> None:
    assert may(party("a", 1000), party("b", 1001)) == {"see", "arguments"}


def test_root_signals_everybody_but_needs_sys_ptrace_to_look_inside() -> None:
    assert may(party("a"), party("b", 1000)) == {"see", "arguments", "signal"}
    tracer = party("a", held=ROOT | audit_rules.mask("SYS_PTRACE"))
    assert may(tracer, party("b", 1000)) == set(audit_rules.ABILITIES)


def test_sys_ptrace_without_a_way_to_open_it_does_not_read_the_environment() -> None:
    tracer = party("a", held=audit_rules.mask("SYS_PTRACE"))
    assert may(tracer, party("b", 1000)) == {"see", "arguments", "files", "trace"}


def test_a_target_with_more_capabilities_is_closed() -> None:
    assert may(party("a"), party("b", held=ROOT | audit_rules.mask("NET_ADMIN"))) == {"see", "arguments", "signal"}


def test_reading_goes_by_effective_and_attaching_by_permitted_capabilities() -> None:
    actor = party("a", effective=0)
    assert may(actor, party("b")) == {"see", "arguments", "signal", "trace"}


def test_a_process_that_is_not_dumpable_is_closed_to_its_own_uid() -> None:
    assert may(party("a", 1000), party("b", 1000, dumpable=False)) == {"see", "arguments", "signal"}


def test_capabilities_of_a_user_namespace_do_not_reach_out_of_it() -> None:
    inner = party("a", held=~0, userns=("node", "u"))
    assert may(inner, party("b", 1000)) == {"see", "arguments"}
    assert may(party("a", held=~0), party("b", 1000, userns=("node", "u"))) == set(audit_rules.ABILITIES)


def test_yama_stops_attaching_only() -> None:
    everything = set(audit_rules.ABILITIES)
    assert may(party("a"), party("b"), yama=1) == everything - {"trace"}
    assert may(party("a", held=~0), party("b"), yama=2) == everything
    assert may(party("a", held=~0), party("b"), yama=3) == everything - {"trace"}


def test_hidepid_hides_what_may_not_be_traced() -> None:
    own: Any = {"gids": (7,) * 4}  # the group that /proc exempts is 0 unless its mount says otherwise
    assert may(party("a", hidepid=2, **own), party("b", 1000)) == {"signal"}
    assert may(party("a", hidepid=1, **own), party("b", 1000)) == {"see", "signal"}
    assert may(party("a", hidepid=4), party("b", 1000)) == {"signal"}
    assert may(party("a", hidepid=2), party("b", 1000)) == {"see", "arguments", "signal"}
    assert may(party("a", hidepid=2, groups=(5,), proc_gid=5, **own), party("b", 1000)) == {"see", "arguments", "signal"}
    assert may(party("a", hidepid=2), party("b")) == set(audit_rules.ABILITIES)


def test_a_seccomp_filter_may_refuse_tracing() -> None:
    assert may(party("a", refused_calls=frozenset({"ptrace"})), party("b")) == set(audit_rules.ABILITIES) - {"trace"}
    assert may(party("a", refused_calls=frozenset({"kill"})), party("b")) == set(audit_rules.ABILITIES) - {"signal"}
