"""A Pod's ``status``, as a kubelet would write it: pure, from the spec, what is observed, and the status before.

``worker`` calls ``compute`` after every step and writes the result if it differs. Container states live in
``container_status``, the phase in ``phase``, the conditions in ``conditions``; here they are put together.
Source: kubelet pkg/kubelet/kubelet_pods.go (generateAPIPodStatus).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from podspace.kube import amounts, qos, times
from podspace.kube.json import JSON
from podspace.node import conditions, container_status, decide, neighbours, requests
from podspace.node import phase as phases
from podspace.node.decide import Observed
from podspace.node.messages import FILE_LIMIT_BYTES, LIMIT_OF_POD_BYTES
from podspace.node.pod import Pod
from podspace.node.resizing import Resize
from podspace.runtime.model import ContainerId, ContainerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a container waits, in the kubelet's vocabulary: ErrImagePull, CrashLoopBackOff, CreateContainerConfigError, ..."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a status is made of, besides the Pod itself."""

    observed: Observed
    previous: Mapping[str, ContainerStatus] = field(default_factory=dict)  # the instance before the newest one, per name
    problems: Mapping[str, Problem] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)  # container id -> termination message
    message_limit_bytes: int = FILE_LIMIT_BYTES  # of each container: they share what a Pod may say
    host_ips: tuple[str, ...] = ()
    now: float
    ended: bool = False  # the Pod is deleted and nothing of it runs
    resize: Resize = field(default_factory=Resize)
    failure: Problem | None = None  # the node has put an end to the Pod: its phase is Failed once nothing of it runs
    done_with: Collection[ContainerId] = ()  # what a restart of all containers has left behind
    restarting: bool = False  # all its containers are being restarted


def compute(pod: Pod, facts: Facts) -> JSON:
    """Return the new ``status``. Times of conditions that did not change are kept."""
    old: JSON = pod.raw.get("status") or {}
    facts = dataclasses.replace(
        facts,
        message_limit_bytes=LIMIT_OF_POD_BYTES // len(pod.every_container()),
        problems={} if pod.delete_by is not None else facts.problems,  # nothing waits to be started any more
    )
    inits = [container_status.build(c, facts, waiting="PodInitializing") for c in pod.init_containers]
    default = "PodInitializing" if conditions.incomplete(pod, inits) else "ContainerCreating"
    mains = sorted((container_status.build(c, facts, waiting=default) for c in pod.containers), key=lambda s: str(s["name"]))
    ephemerals = [container_status.build(c, facts, waiting="ContainerCreating") for c in pod.ephemeral_containers]
    failed = facts.failure is not None and not any("running" in entry["state"] for entry in (*inits, *mains))
    phase = _final(old.get("phase")) or ("Failed" if failed else _phase(pod, facts, inits, mains))
    status: JSON = {
        "observedGeneration": pod.generation,
        "phase": phase,
        "conditions": conditions.compute(
            pod,
            phase,
            inits,
            mains,
            old.get("conditions") or (),
            networked=facts.observed.ready,
            restarting=facts.restarting,
            resize=facts.resize,
            now=facts.now,
        ),
        "startTime": old.get("startTime") or times.rfc3339(facts.now),
        "qosClass": old.get("qosClass") or qos.qos_class(pod.spec),
    }
    status |= {key: old[key] for key in ("reason", "message", "nominatedNodeName", "resize") if key in old}
    if failed and facts.failure is not None:
        status |= {"reason": facts.failure.reason, "message": facts.failure.message}
    if facts.host_ips:
        status |= {"hostIP": facts.host_ips[0], "hostIPs": [{"ip": ip} for ip in facts.host_ips]}
    status |= _addresses(pod, facts, old)
    status |= _resources(pod, facts)
    for key, statuses in (("initContainerStatuses", inits), ("containerStatuses", mains), ("ephemeralContainerStatuses", ephemerals)):
        if statuses:
            status[key] = statuses
    return status


def _phase(pod: Pod, facts: Facts, inits: list[JSON], mains: list[JSON]) -> str:
    """The phase as the containers have it, save that what is to start again all together, in its sandbox, is not over."""
    anew = [name for name, seen in facts.observed.containers.items() if facts.observed.starts_anew(seen)]
    found = phases.compute(pod, inits, mains, ended=facts.ended, anew=anew)
    if facts.ended or found not in ("Succeeded", "Failed"):
        return found
    again = facts.restarting or (facts.observed.ready and decide.restart_trigger(pod, facts.observed) is not None)
    return "Running" if again else found


def _resources(pod: Pod, facts: Facts) -> JSON:
    """Of the Pod as a whole, or of its containers together: what is allocated, and what its cgroup has (KEP-5419)."""
    wanted = facts.resize.allocated.get(neighbours.WHOLE) or pod.spec.get("resources") or _of_containers(pod, facts.resize)
    shown: JSON = {"resources": facts.resize.actual.get(neighbours.WHOLE, wanted)}
    return shown | ({"allocatedResources": wanted["requests"]} if wanted.get("requests") else {})


def _of_containers(pod: Pod, resize: Resize) -> JSON:
    spec = resize.view(pod.raw)["spec"]
    limits = amounts.of_pod(spec, "limits")
    limited = {name: limit for name, limit in limits.items() if requests.all_have(spec, name)}
    found = {"limits": amounts.spelled(limited), "requests": amounts.spelled(amounts.of_pod(spec, "requests"))}
    return {side: values for side, values in found.items() if values}


def _final(phase: str | None) -> str | None:
    """A Pod that has succeeded or failed stays so."""
    return phase if phase in ("Succeeded", "Failed") else None


def _addresses(pod: Pod, facts: Facts, old: JSON) -> JSON:
    sandbox = facts.observed.sandbox
    own = sandbox.ips if sandbox is not None else ()
    ips = facts.host_ips if pod.host_network else own
    if not ips:
        return {key: old[key] for key in ("podIP", "podIPs") if key in old}
    return {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
