"""What a node refuses although the Pod is bound to it: then the Pod has failed, and says why. Pure.

The scheduler says most of this earlier and leaves the Pod Pending; but a Pod may name its node itself and never meet the scheduler.
Source: kubelet pkg/kubelet/kubelet.go rejectPod; pkg/kubelet/sysctl/allowlist.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.node import host_ports, requests, support, sysctls


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
    if fields := support.unsupported(pod):
        return Refusal(reason="Unsupported", message=support.in_words(fields))
    spec = pod["spec"]
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


def no_room(pod: JSON, others: Iterable[JSON], node: JSON) -> Refusal | None:
    """Return that the node has not got what the Pod asks for beside ``others``, which run on it."""
    lacking = requests.lacking(pod, others, node)
    return None if lacking is None else Refusal(reason=lacking[0], message=lacking[1])
