"""What a seccomp profile refuses of the calls that reach a neighbour. Pure; called by ``audit_running`` and ``audit_manifest``.

Source: OCI runtime-spec config-linux.md, Seccomp; seccomp(2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CALLS = ("ptrace", "kill")  # looking into /proc takes calls that no program runs without
Filters = Mapping[str, Mapping[str, Any]]  # container to its seccomp profile as in an OCI spec, {} = none
_PASSES = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


def refused(profile: Mapping[str, Any]) -> frozenset[str]:
    """Those of ``CALLS`` that a process under this profile cannot make; {} is no profile. A call that some arguments let through counts as
    let through.
    """
    return frozenset(call for call in CALLS if profile and not _lets_through(profile, call))


def _lets_through(profile: Mapping[str, Any], call: str) -> bool:
    rules = [rule for rule in profile.get("syscalls") or () if call in rule.get("names", ())]
    plain = [rule for rule in rules if not rule.get("args")]
    actions = [rule["action"] for rule in rules] + ([] if plain else [profile.get("defaultAction", "")])
    return any(action in _PASSES for action in actions)
