"""Whether a Pod fits this node, filter by filter as the scheduler has them, and its words if not. Pure.

Called by ``scheduler`` for Pods that wait and by ``admission`` for Pods that name their node themselves.
Source: kube-scheduler pkg/scheduler/framework/plugins (nodeunschedulable, tainttoleration, nodeaffinity, nodeports, noderesources,
podtopologyspread, interpodaffinity), FitError.Error, defaultpreemption; kubelet pkg/kubelet/lifecycle/predicate.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.node import host_ports, node_selection, pod_affinity, requests, topology_spread

AFFINITY = "node(s) didn't match Pod's node affinity/selector"
CORDONED = "node(s) were unschedulable"
TAINTED = "node(s) had untolerated taint(s)"
_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """``hopeless``: no other Pod's end would change it."""

    reasons: tuple[str, ...]
    hopeless: bool = True

    def sentence(self, spec: JSON) -> str:
        """What follows "0/1 nodes are available: "."""
        found = ", ".join(f"1 {reason}" for reason in self.reasons)
        return f"{found}. no new claims to deallocate, preemption: {self._preemption(spec)}"

    def _preemption(self, spec: JSON) -> str:
        if spec.get("preemptionPolicy") == "Never":
            return "not eligible due to preemptionPolicy=Never."
        why = "Preemption is not helpful for scheduling" if self.hopeless else "No preemption victims found for incoming pod"
        return f"0/1 nodes are available: 1 {why}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The node and what is on it. ``pods``: those that run, as allocated; ``held``: by them; ``namespaces``: name -> labels."""

    node: JSON
    pods: Sequence[JSON]
    held: requests.Load
    namespaces: Callable[[], dict[str, JSON]]


def misfit(pod: JSON, around: Surroundings) -> Misfit | None:
    """The first filter that keeps the Pod from the node, None if it fits."""
    return next(filter(None, _filters(pod, around)), None)


def of_node(pod: JSON, node: JSON) -> Misfit | None:
    """The filters that look at the node alone."""
    spec = pod["spec"]
    if node.get("spec", {}).get("unschedulable") and not tolerates(spec, _CORDON):
        return Misfit(reasons=(CORDONED,))
    if any(taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(spec, taint) for taint in taints(node)):
        return Misfit(reasons=(TAINTED,))
    return None if selects(spec, node) else Misfit(reasons=(AFFINITY,))


def _filters(pod: JSON, around: Surroundings) -> Iterator[Misfit | None]:
    yield of_node(pod, around.node)
    if host_ports.taken(pod, around.pods):
        yield Misfit(reasons=(host_ports.TAKEN,), hopeless=False)
    if short := requests.insufficient(pod, around.held, around.node):
        yield Misfit(reasons=tuple(sorted(short)), hopeless=bool(requests.insufficient(pod, requests.load(()), around.node)))
    if why := topology_spread.violated(pod, around.node, around.pods):
        yield Misfit(reasons=(why,), hopeless=why == topology_spread.UNLABELLED)
    if why := pod_affinity.violated(pod, around.node, around.pods, around.namespaces):
        yield Misfit(reasons=(why,), hopeless=why == pod_affinity.NOT_NEAR)


def selects(spec: JSON, node: JSON) -> bool:
    """Whether nodeSelector and required node affinity let the Pod on the node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return not required or node_selection.matches(required, node)


def taints(node: JSON) -> list[JSON]:
    return list((node.get("spec") or {}).get("taints") or ())


def tolerates(spec: JSON, taint: JSON) -> bool:
    return any(tolerated_by(toleration, taint) for toleration in spec.get("tolerations") or ())


def tolerated_by(toleration: JSON, taint: JSON) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")
