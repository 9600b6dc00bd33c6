"""What a node refuses although the Pod is bound to it: then the Pod has failed, and says why. Pure.

The scheduler says most of this earlier and leaves the Pod Pending; but a Pod may name its node itself and never meet the scheduler.
Source: kubelet pkg/kubelet/kubelet.go rejectPod; pkg/kubelet/sysctl/allowlist.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.node import fit, host_ports, requests, support, sysctls

_TAINTED = "node(s) had taints that the pod didn't tolerate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """``reason`` and ``message`` of the Pod's status and event."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What this machine and its administrator allow."""

    allowed_sysctls: Sequence[str] = ()  # patterns, beside the safe ones
    apparmor: bool = False


def refusal(pod: JSON, others: Iterable[JSON] = (), policy: Policy = Policy()) -> Refusal | None:
    """Return why the node does not run the Pod beside ``others``, which it runs already; None if it does."""
    spec = pod["spec"]
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        return Refusal(reason="PodOSNotSupported", message="Failed to admit pod as the OS field doesn't match node OS")
    if fields := support.unsupported(pod):
        return Refusal(reason="Unsupported", message=support.in_words(fields))
    if host_ports.taken(pod, others):
        return Refusal(reason="NodePorts", message=f"Predicate NodePorts failed: {host_ports.TAKEN}")
    if words := sysctls.forbidden(spec, policy.allowed_sysctls):
        return Refusal(reason="SysctlForbidden", message=words)
    if not policy.apparmor and _wants_apparmor(spec):
        return Refusal(reason="AppArmor", message="Cannot enforce AppArmor: AppArmor is not enabled on the host")
    return None


def _wants_apparmor(spec: JSON) -> bool:
    """Whether some container asks to be confined."""
    every = [container for field in ("initContainers", "containers", "ephemeralContainers") for container in spec.get(field) or ()]
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    profiles = [(item.get("securityContext") or {}).get("appArmorProfile") or of_pod for item in every]
    return any(profile is not None and profile["type"] != "Unconfined" for profile in profiles)


def misplaced(pod: JSON, others: Iterable[JSON], node: JSON) -> Refusal | None:
    """Return why this is not the node for the Pod: it lacks what is asked for beside ``others``, or is none of those the Pod may be on."""
    if lacking := requests.lacking(pod, others, node):
        return Refusal(reason=lacking[0], message=lacking[1])
    if not fit.selects(pod["spec"], node):
        return Refusal(reason="NodeAffinity", message=f"Predicate NodeAffinity failed: {fit.AFFINITY}")
    if any(taint.get("effect") == "NoExecute" and not fit.tolerates(pod["spec"], taint) for taint in fit.taints(node)):
        return Refusal(reason="TaintToleration", message=f"Predicate TaintToleration failed: {_TAINTED}")
    return None
