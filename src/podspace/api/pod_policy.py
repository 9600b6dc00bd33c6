"""The Pod Security Standard of a namespace, by its labels: enforced when Pods are written, told in warnings.

Called by the create handler, by ``updating`` and for Namespaces whose labels change. What a level forbids is in ``kube.pod_security``.
Source: plugin PodSecurity of kubernetes 1.36. There is no audit log here: ``audit`` labels are checked and otherwise mean nothing.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from typing import get_args

from podspace import errors
from podspace.api import metadata
from podspace.api.call import Call
from podspace.kube import pod_security
from podspace.kube.json import JSON
from podspace.kube.pod_security import LATEST, Level

_PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A level as of some minor of Kubernetes."""

    level: Level = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    def violations(self, pod: JSON) -> list[pod_security.Violation]:
        return pod_security.violations(self.level, self.minor, pod)


@functools.lru_cache(maxsize=256)
def _parsed(level: str, version: str) -> Policy:
    """What cannot be read is as strict as can be, as the plugin has it."""
    known: Level = next((one for one in _LEVELS if one == level), "restricted") if level else "privileged"
    match = _VERSION.fullmatch(version)
    return Policy(level=known, minor=int(match[1]) if match else LATEST)


def of(namespace: JSON, mode: str) -> Policy:
    """The policy of one mode (enforce, warn)."""
    labels = metadata.of(namespace).get("labels") or {}
    return _parsed(labels.get(_PREFIX + mode, ""), labels.get(f"{_PREFIX}{mode}-version", ""))


def check_pod(call: Call, pod: JSON) -> None:
    """Hold a Pod against its namespace's policy, and tell what it would break.  Raises: Forbidden."""
    namespace = call.store.get("namespaces", "", call.target.namespace)
    if namespace is None or not any(label.startswith(_PREFIX) for label in metadata.of(namespace).get("labels") or ()):
        return
    enforced, told = of(namespace, "enforce"), of(namespace, "warn")
    if found := enforced.violations(pod):
        name = metadata.name_of(pod)
        words = pod_security.words(found)
        raise errors.Forbidden(f'pods "{name}" is forbidden: violates PodSecurity "{enforced}": {words}', resource="pods", name=name)
    if found := told.violations(pod):
        call.warnings.append(f'would violate PodSecurity "{told}": {pod_security.words(found)}')


def label_causes(namespace: JSON) -> list[errors.Cause]:
    """What is wrong with a Namespace's labels of this kind."""
    labels = metadata.of(namespace).get("labels") or {}
    causes = []
    for mode in _MODES:
        level, version = labels.get(_PREFIX + mode), labels.get(f"{_PREFIX}{mode}-version")
        if level is not None and level not in _LEVELS:
            causes.append(_invalid(mode, level, f"must be one of {', '.join(_LEVELS)}"))
        if version is not None and version != "latest" and not _VERSION.fullmatch(version):
            causes.append(_invalid(f"{mode}-version", version, 'must be "latest" or "v1.x"'))
    return causes


def _invalid(label: str, value: str, words: str) -> errors.Cause:
    field = f"metadata.labels[{_PREFIX}{label}]"
    return errors.Cause(reason="FieldValueInvalid", message=f'Invalid value: "{value}": {words}', field=field)


def check_namespace(call: Call, new: JSON, old: JSON | None) -> None:
    """Refuse labels that cannot be read; tell which Pods a stricter level would not let in any more.  Raises: Invalid."""
    causes = label_causes(new)
    if causes and (old is None or causes != label_causes(old)):
        raise errors.Invalid("Namespace", metadata.name_of(new), causes)
    if old is None:
        return
    policy, before = of(new, "enforce"), of(old, "enforce")
    relaxed = policy.minor == before.minor and _LEVELS.index(policy.level) <= _LEVELS.index(before.level)
    if policy == before or policy.level == "privileged" or relaxed:
        return
    call.warnings.extend(_existing(call, metadata.name_of(new), policy))


def _existing(call: Call, namespace: str, policy: Policy) -> list[str]:
    """Warnings about Pods that are there already, those that break the same rules in one line."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for pod in call.store.list("pods", namespace)[0]:
        if found := policy.violations(pod):
            reasons = ", ".join(violation.reason for violation in found)
            counts[reasons] += 1
            first.setdefault(reasons, metadata.name_of(pod))
    if not counts:
        return []
    others = {1: "", 2: " (and 1 other pod)"}
    lines = [f"{first[reasons]}{others.get(count, f' (and {count - 1} other pods)')}: {reasons}" for reasons, count in counts.items()]
    return [f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{policy}"', *sorted(lines)]
