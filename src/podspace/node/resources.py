"""From ``resources`` to the kernel's units, as a kubelet translates them: of one container, of a Pod, of all Pods of a QoS class. Pure.

Source: kubelet pkg/kubelet/cm/helpers_linux.go (shares, quota, ResourceConfigForPod), pkg/kubelet/cm/qos_container_manager_linux.go,
pkg/kubelet/qos/policy.go (oom_score_adj), pkg/kubelet/kuberuntime/kuberuntime_container_linux.go (getCPULimit, memory.oom.group).
"""

from __future__ import annotations

from collections.abc import Iterable

from podspace.kube import qos, quantity
from podspace.kube.json import JSON
from podspace.node import requests
from podspace.runtime import model

SHARES_PER_CPU = 1024
MIN_SHARES = 2
MAX_SHARES = 262144
QUOTA_PERIOD_MICROS = 100_000
MIN_QUOTA_MICROS = 1000
GUARANTEED_OOM_SCORE_ADJ = -997
BEST_EFFORT_OOM_SCORE_ADJ = 1000
NODE_CRITICAL = 2_000_001_000  # the priority of system-node-critical
HUGE_PAGES = "hugepages-"
GROUPS = {"Guaranteed": "", "Burstable": "burstable", "BestEffort": "besteffort"}  # QoS class -> the cgroup its Pods are in


def container_resources(spec: JSON, container: JSON, *, memory_capacity_bytes: int) -> model.Resources:
    """Return the limits of one container of the Pod ``spec``. One without a limit of its own has that of the whole Pod, if there is one."""
    wanted, whole = container.get("resources") or {}, (spec.get("resources") or {}).get("limits") or {}
    limits = wanted.get("limits") or {}
    request_cpu = milli((wanted.get("requests") or {}).get("cpu"))
    limit_cpu = milli(limits.get("cpu")) or milli(whole.get("cpu"))
    return model.Resources(
        cpu_shares=shares(request_cpu or milli(limits.get("cpu"))),
        cpu_quota_micros=quota_micros(limit_cpu),
        cpu_period_micros=QUOTA_PERIOD_MICROS if limit_cpu else 0,
        memory_limit_bytes=bytes_of(limits.get("memory")) or bytes_of(whole.get("memory")),
        unified={"memory.oom.group": "1"},  # out of memory ends a container as a whole, not some process of it
        oom_score_adj=oom_score_adj(spec, container, memory_capacity_bytes),
        hugepage_limit_bytes={_page_size(name): bytes_of(value) for name, value in limits.items() if name.startswith(HUGE_PAGES)},
    )


def pod_resources(spec: JSON, *, pids_limit: int = 0) -> model.Resources:
    """Return the limits of the Pod's cgroup: what its containers may use together. ``pids_limit``: the node's, 0 = none."""
    asked, allowed = requests.of_pod(spec), requests.total(spec, "limits")
    overhead = requests.amounts(spec.get("overhead") or {})
    best_effort = qos.qos_class(spec) == "BestEffort"
    cpu, memory = (allowed[name] + overhead[name] if requests.all_have(spec, name) else 0 for name in ("cpu", "memory"))
    return model.Resources(
        cpu_shares=MIN_SHARES if best_effort else shares(asked["cpu"]),
        cpu_quota_micros=quota_micros(cpu),
        cpu_period_micros=QUOTA_PERIOD_MICROS if cpu else 0,
        memory_limit_bytes=memory,
        pids_limit=pids_limit,
        hugepage_limit_bytes={_page_size(name): value for name, value in allowed.items() if name.startswith(HUGE_PAGES)},
    )


def burstable_shares(specs: Iterable[JSON]) -> int:
    """CPU shares of all burstable Pods together, beside which each guaranteed Pod stands on its own."""
    return shares(sum(requests.of_pod(spec)["cpu"] for spec in specs if qos.qos_class(spec) == "Burstable"))


def _page_size(name: str) -> str:
    """``hugepages-2Mi`` is ``2MB`` to the kernel."""
    return name.removeprefix(HUGE_PAGES).replace("i", "") + "B"


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


def oom_score_adj(spec: JSON, container: JSON, capacity_bytes: int) -> int:
    """Whom the kernel kills first: best effort before burstable before guaranteed. A sidecar goes no earlier than those it serves."""
    if spec.get("priority", 0) >= NODE_CRITICAL:
        return GUARANTEED_OOM_SCORE_ADJ
    match qos.qos_class(spec):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE_ADJ
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE_ADJ
    adjust = _burstable_score(spec, container, capacity_bytes)
    if container.get("restartPolicy") == "Always" and container in (spec.get("initContainers") or ()):
        adjust = min([adjust, *(_burstable_score(spec, main, capacity_bytes) for main in spec["containers"])])
    return max(1000 + GUARANTEED_OOM_SCORE_ADJ, min(adjust, BEST_EFFORT_OOM_SCORE_ADJ - 1))


def pod_memory_limit_bytes(spec: JSON) -> int:
    """What all of a Pod may use: the Pod's own limit, else that of its containers together; 0 if one of them has none."""
    return requests.total(spec, "limits")["memory"] if requests.all_have(spec, "memory") else 0


def huge_page_sizes(spec: JSON) -> set[int]:
    """The page sizes, in bytes, that the Pod or any of its containers asks for."""
    holders = [spec, *spec["containers"], *(spec.get("initContainers") or ())]
    names = {name for holder in holders for name in ((holder.get("resources") or {}).get("requests") or {})}
    return {bytes_of(name.removeprefix("hugepages-")) for name in names if name.startswith("hugepages-")}


def _burstable_score(spec: JSON, container: JSON, capacity_bytes: int) -> int:
    """By the part of the machine that was asked for; what a Pod asks for as a whole and no container does is divided among them."""
    asked = _memory_request(container)
    whole = bytes_of(((spec.get("resources") or {}).get("requests") or {}).get("memory"))
    if whole:
        containers = [*spec["containers"], *(c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")]
        asked += max(0, whole - sum(map(_memory_request, containers))) // len(containers)
    return 1000 - (1000 * asked) // max(capacity_bytes, 1)


def _memory_request(container: JSON) -> int:
    return bytes_of(((container.get("resources") or {}).get("requests") or {}).get("memory"))
