"""From a container's ``resources`` to the kernel's units, as a kubelet translates them.

Source: kubelet pkg/kubelet/cm/helpers_linux.go (shares, quota), pkg/kubelet/qos/policy.go (oom_score_adj),
pkg/kubelet/kuberuntime/kuberuntime_container_linux.go (memory.oom.group).
"""

from __future__ import annotations

from podspace.kube import qos, quantity
from podspace.kube.json import JSON
from podspace.runtime import model

SHARES_PER_CPU = 1024
MIN_SHARES = 2
MAX_SHARES = 262144
QUOTA_PERIOD_MICROS = 100_000
MIN_QUOTA_MICROS = 1000
GUARANTEED_OOM_SCORE_ADJ = -997
BEST_EFFORT_OOM_SCORE_ADJ = 1000


def container_resources(spec: JSON, container: JSON, *, memory_capacity_bytes: int) -> model.Resources:
    """Return the limits of one container of the Pod ``spec``."""
    wanted = container.get("resources") or {}
    requests, limits = wanted.get("requests") or {}, wanted.get("limits") or {}
    request_cpu, limit_cpu = milli(requests.get("cpu")), milli(limits.get("cpu"))
    return model.Resources(
        cpu_shares=shares(request_cpu or limit_cpu),
        cpu_quota_micros=quota_micros(limit_cpu),
        cpu_period_micros=QUOTA_PERIOD_MICROS if limit_cpu else 0,
        memory_limit_bytes=bytes_of(limits.get("memory")),
        unified={"memory.oom.group": "1"},  # out of memory ends a container as a whole, not some process of it
        oom_score_adj=oom_score_adj(spec, bytes_of(requests.get("memory")), memory_capacity_bytes),
        hugepage_limit_bytes={
            name.removeprefix("hugepages-").replace("i", "") + "B": bytes_of(value)
            for name, value in limits.items()
            if name.startswith("hugepages-")
        },
    )


def milli(value: object) -> int:
    """A CPU quantity in thousandths; 0 if absent."""
    return 0 if value is None else quantity.parse(str(value)).milli_value


def bytes_of(value: object) -> int:
    return 0 if value is None else quantity.parse(str(value)).value


def shares(milli_cpu: int) -> int:
    """cgroup v1 cpu.shares; the OCI runtime turns them into a v2 weight."""
    return max(MIN_SHARES, min(MAX_SHARES, milli_cpu * SHARES_PER_CPU // 1000))


def quota_micros(milli_cpu: int) -> int:
    """CFS quota per period; 0 = no limit."""
    return max(MIN_QUOTA_MICROS, milli_cpu * QUOTA_PERIOD_MICROS // 1000) if milli_cpu else 0


def oom_score_adj(spec: JSON, request_bytes: int, capacity_bytes: int) -> int:
    """Whom the kernel kills first: best effort before burstable before guaranteed."""
    match qos.qos_class(spec):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE_ADJ
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE_ADJ
    adjust = 1000 - (1000 * request_bytes) // max(capacity_bytes, 1)
    return max(1000 + GUARANTEED_OOM_SCORE_ADJ, min(adjust, BEST_EFFORT_OOM_SCORE_ADJ - 1))


def pod_memory_limit_bytes(spec: JSON) -> int:
    """What all of a Pod may use: the Pod's own limit, else that of its containers together; 0 if one of them has none."""
    own = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    if own is not None:
        return bytes_of(own)
    amounts = [bytes_of(_limits(container).get("memory")) for container in spec["containers"]]
    inits = [bytes_of(_limits(container).get("memory")) for container in spec.get("initContainers") or ()]
    return 0 if 0 in (*amounts, *inits) else max(sum(amounts), *inits, 0)


def huge_page_sizes(spec: JSON) -> set[int]:
    """The page sizes, in bytes, that the Pod or any of its containers asks for."""
    holders = [spec, *spec["containers"], *(spec.get("initContainers") or ())]
    names = {name for holder in holders for name in ((holder.get("resources") or {}).get("requests") or {})}
    return {bytes_of(name.removeprefix("hugepages-")) for name in names if name.startswith("hugepages-")}


def _limits(container: JSON) -> JSON:
    return (container.get("resources") or {}).get("limits") or {}
