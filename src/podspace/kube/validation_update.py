"""What an update of a Pod may change: by the main path, and by status, ephemeralcontainers and resize.

Called by ``validation``. Where Go prints a difference of structs, the difference of the JSON is printed, with the API's names.
Source: kubernetes pkg/apis/core/validation, ValidatePodUpdate and its siblings.
"""

from __future__ import annotations

import copy

from podspace.kube import (
    addresses,
    names,
    qos,
    schema,
    validation_annotations,
    validation_containers,
    validation_pod,
    validation_scheduling,
)
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import IMMUTABLE
from podspace.kube.validation_paths import MAX_INT32
from podspace.kube.validation_report import Report, difference

_MUTABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_RESIZABLE = "only cpu and memory resources are mutable"


def pod(report: Report, new: JSON, old: JSON) -> None:
    """The main path."""
    validation_pod.spec_rules(report, new)
    _annotations(report, new, old)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(after.get(field) or ()) != len(before.get(field) or ()):
            report.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(after.get(field) or ()):
            if not container.get("image"):
                report.required(f"spec.{field}[{index}].image")
            validation_containers.only_for_pods(report, container, f"spec.{field}[{index}]")
    if not _deadline(report, after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")):
        return
    _tolerations(report, after.get("tolerations") or [], before.get("tolerations") or [])
    _gates(report, after, before)
    if after != before:
        _nothing_else(report, after, before)


def _annotations(report: Report, new: JSON, old: JSON) -> None:
    after, before = ((one.get("metadata") or {}).get("annotations") or {} for one in (new, old))
    validation_annotations.update(report, after, before, new.get("spec") or {})


def status(report: Report, new: JSON, old: JSON) -> None:
    """/status."""
    _annotations(report, new, old)
    before, after = (one.get("status") or {} for one in (old, new))
    for index, condition in enumerate(after.get("conditions") or ()):
        path, kind = f"status.conditions[{index}]", condition.get("type", "")
        _generation(report, condition, path)
        if kind not in _CONDITIONS:
            report.invalids(f"{path}.Type", kind, names.qualified(kind))
    node = after.get("nominatedNodeName", "")
    if node and node != before.get("nominatedNodeName", ""):
        report.invalids("status.nominatedNodeName", node, names.subdomain(node))
        if (old.get("spec") or {}).get("nodeName"):
            report.forbidden("status.nominatedNodeName", "may not be set on pods that are already bound to a node")
    _generation(report, after, "status")
    if before.get("qosClass") and after.get("qosClass") != before["qosClass"]:
        report.invalid("status.qosClass", after.get("qosClass", ""), IMMUTABLE)
    _addresses(report, "podIPs", after, before)
    hosts = after.get("hostIPs") or ()
    if hosts and hosts[0].get("ip", "") != after.get("hostIP", ""):
        report.invalid("status.hostIPs[0].ip", hosts[0].get("ip", ""), "must be equal to `hostIP`")
    _addresses(report, "hostIPs", after, before)


def _generation(report: Report, holder: JSON, path: str) -> None:
    if holder.get("observedGeneration", 0) < 0:
        report.invalid(f"{path}.observedGeneration", holder["observedGeneration"], "must be a non-negative integer")


def _addresses(report: Report, field: str, after: JSON, before: JSON) -> None:
    """One of each family at most. What was there may stay."""
    now, was = ([item.get("ip", "") for item in one.get(field) or ()] for one in (after, before))
    bad = ""
    for index, address in enumerate(now):
        if problem := addresses.problem(address):
            bad = bad or f"invalid IP[{index}]: {address}"
            if address not in was:
                report.invalid(f"status.{field}[{index}]", address, problem)
    if len(now) > 1:
        if bad:
            report.internal(f"status.{field}", f"failed to check for dual stack with error:{bad}")
        if bad or len(now) > 2 or len({":" in address for address in now}) != 2:
            shown = [{"IP": address} for address in now]
            report.invalid(f"status.{field}", shown, "may specify no more than one IP for each IP family")


def ephemeral_containers(report: Report, new: JSON, old: JSON) -> None:
    """/ephemeralcontainers: appending only."""
    validation_pod.spec_rules(report, new)
    _annotations(report, new, old)
    field = "spec.ephemeralContainers"
    present = {container.get("name"): container for container in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name", "")
        if name not in present:
            report.forbidden(field, f'existing ephemeral containers "{name}" may not be removed\n')
        elif present[name] != container:
            report.forbidden(field, f'existing ephemeral containers "{name}" may not be changed\n{difference(container, present[name])}')


def resize(report: Report, new: JSON, old: JSON) -> None:
    """/resize: cpu and memory of containers, within the Pod's QoS class."""
    validation_pod.spec_rules(report, new)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if qos.qos_class(before) != qos.qos_class(after):
        report.invalid("spec", qos.qos_class(before), "Pod QOS Class may not change as a result of resizing")
    if not _can_be_resized(old):
        report.forbidden("spec", "Pod running on node without support for resize")
    munged = copy.deepcopy(after)
    _whole_pod(report, munged, before)
    if not _same_containers(report, after, before):
        return
    for field in ("initContainers", "containers"):
        for index, (is_now, was) in enumerate(zip(after.get(field) or (), before.get(field) or (), strict=True)):
            _not_removed(report, is_now, was, f"spec.{field}[{index}].resources")
    for field, path, words in (
        ("containers", "spec", _RESIZABLE),
        ("initContainers", "spec.initContainers[{}]", "only cpu and memory resources for init or sidecar containers are mutable"),
    ):
        for index, (is_now, was) in enumerate(zip(munged.get(field) or (), before.get(field) or (), strict=True)):
            touched = is_now != was
            _restore_amounts(is_now, was)
            if is_now != was:
                report.forbidden(path.format(index), words)
            if touched and field == "initContainers" and is_now.get("restartPolicy") != "Always":
                _no_restart(report, is_now, path.format(index))
    if not report.causes and munged != before:
        report.forbidden("spec", _RESIZABLE)


def _whole_pod(report: Report, munged: JSON, before: JSON) -> None:
    if not before.get("resources"):
        if munged.get("resources"):
            _restore_amounts(munged, before)
            if not munged["resources"]:
                munged.pop("resources")
        if munged.get("resources"):
            report.forbidden("spec", f"{_RESIZABLE} at pod-level")
        return
    if "resources" not in munged:
        report.forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    _not_removed(report, munged, before, "spec.resources", "pod-level ")
    _restore_amounts(munged, before)
    if munged["resources"] != before["resources"]:
        report.forbidden("spec", f"{_RESIZABLE} at pod-level")


def _same_containers(report: Report, after: JSON, before: JSON) -> bool:
    """Whether they have the names they had; otherwise the rest is not looked at."""
    same = True
    for field in ("containers", "initContainers"):
        names = [[one.get("name") for one in spec.get(field) or ()] for spec in (before, after)]
        if len(names[0]) != len(names[1]):
            report.forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            same = False
            continue
        for index, (was, is_now) in enumerate(zip(*names, strict=True)):
            if was != is_now:
                report.forbidden(f"spec.{field}[{index}].name", f"{field} may not be renamed or reordered on resize")
                same = False
    return same


def _no_restart(report: Report, container: JSON, path: str) -> None:
    for policy in container.get("resizePolicy") or ():
        if policy.get("restartPolicy") == "RestartContainer":
            report.forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized")


def _can_be_resized(pod: JSON) -> bool:
    """A node that can says in the status what a running container has."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    running = next((status for status in statuses if "running" in (status.get("state") or {})), None)
    return running is None or "resources" in running


def _not_removed(report: Report, is_now: JSON, was: JSON, field: str, of: str = "") -> None:
    for side in ("requests", "limits"):
        before, after = ((one.get("resources") or {}).get(side) or {} for one in (was, is_now))
        if not before.keys() <= after.keys():
            report.forbidden(f"{field}.{side}", f"{of}resource {side} cannot be removed")


def _restore_amounts(is_now: JSON, was: JSON) -> None:
    """Undo what a resize may change, so that the rest can be compared."""
    resources: JSON = is_now.setdefault("resources", {})
    for side in ("requests", "limits"):
        before = (was.get("resources") or {}).get(side) or {}
        after = {name: amount for name, amount in (resources.get(side) or {}).items() if name not in ("cpu", "memory")}
        after.update({name: before[name] for name in ("cpu", "memory") if name in before})
        resources.pop(side, None)
        if after:
            resources[side] = after


def _deadline(report: Report, after: int | None, before: int | None) -> bool:
    """It can only come closer. False: the rest is not looked at."""
    field = "spec.activeDeadlineSeconds"
    if after is None:
        if before is not None:
            report.invalid(field, None, "must not update from a positive integer to nil value")
        return True
    if not 0 <= after <= MAX_INT32:
        report.within(field, after, 0, MAX_INT32)
        return False
    if before is not None and before < after:
        report.invalid(field, after, "must be less than or equal to previous value")
        return False
    return True


def _tolerations(report: Report, after: list[JSON], before: list[JSON]) -> None:
    kept = [_without_seconds(toleration) for toleration in after]
    if any(_without_seconds(toleration) not in kept for toleration in before):
        report.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    else:
        validation_scheduling.tolerations(report, after, "spec.tolerations")


def _without_seconds(toleration: JSON) -> JSON:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _gates(report: Report, after: JSON, before: JSON) -> None:
    known = [gate.get("name", "") for gate in before.get("schedulingGates") or ()]
    new = {gate.get("name", ""): index for index, gate in enumerate(after.get("schedulingGates") or ())}
    for name, index in new.items():
        if name not in known:
            words = f"only deletion is allowed, but found new scheduling gate '{name}'"
            report.forbidden(f"spec.schedulingGates[{index}].name", words)


def _nothing_else(report: Report, after: JSON, before: JSON) -> None:
    munged = copy.deepcopy(after)
    for field in ("containers", "initContainers"):
        for is_now, was in zip(munged.get(field) or (), before.get(field) or (), strict=True):
            is_now["image"] = was.get("image", "")
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _restore(munged, before, field)
    if before.get("terminationGracePeriodSeconds", 0) < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        _restore(munged, before, "terminationGracePeriodSeconds")
    if before.get("schedulingGates"):
        _gated(report, munged, before)
    if munged == before:
        return
    report.forbidden("spec", f"pod updates may not change fields other than {_MUTABLE}\n{difference(_ordered(before), _ordered(munged))}")


def _ordered(spec: JSON) -> JSON:
    """What was put back stands at the end: only what differs shall look different."""
    return schema.ordered("PodSpec", spec)


def _gated(report: Report, munged: JSON, before: JSON) -> None:
    """While scheduling gates hold a Pod back, what it demands of a node may still grow. What may change is put back."""
    selector, was = munged.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in was.items()):
        words = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        report.invalid("spec.nodeSelector", selector or None, words)
    _restore(munged, before, "nodeSelector")
    affinity, earlier = ((spec.get("affinity") or {}).get("nodeAffinity") for spec in (munged, before))
    if affinity == earlier:
        return
    _grown_affinity(report, affinity or {}, earlier or {})
    if "affinity" not in before and not (munged.get("affinity") or {}).keys() & {"podAffinity", "podAntiAffinity"}:
        munged.pop("affinity", None)
        return
    restored: JSON = {**(munged.get("affinity") or {})}
    _restore(restored, before.get("affinity") or {}, "nodeAffinity")
    munged["affinity"] = restored


def _grown_affinity(report: Report, after: JSON, before: JSON) -> None:
    """Terms that were required stay, each with at least what it said."""
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms, was = ((one.get(required) or {}).get("nodeSelectorTerms") or [] for one in (after, before))
    field = f"spec.affinity.nodeAffinity.{required}.nodeSelectorTerms"
    if was and len(terms) != len(was):
        words = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        report.invalid(field, [validation_scheduling.go_term(term) for term in terms] or None, words)
        return
    for index, (is_now, earlier) in enumerate(zip(terms, was, strict=False)):
        lists = [(is_now.get(name) or [], earlier.get(name) or []) for name in ("matchExpressions", "matchFields")]
        emptied = all(not old for _, old in lists) and any(new for new, _ in lists)
        if emptied or any(new[: len(old)] != old for new, old in lists):
            report.invalid(
                f"{field}[{index}]", validation_scheduling.go_term(is_now), "only additions are allowed (no mutations or deletions)"
            )


def _restore(spec: JSON, before: JSON, field: str) -> None:
    spec.pop(field, None)
    if field in before:
        spec[field] = before[field]
