"""PersistentVolumeClaims: which a Pod uses, which volume fits which claim, and what keeps a Pod from being scheduled. Pure.

Called by ``claim_controller`` (binding), ``scheduler`` and ``claim_volumes`` (mounting).
Source: kube-controller-manager pkg/controller/volume/persistentvolume, kube-scheduler's VolumeBinding and VolumeRestrictions plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from podspace.kube import quantity, storage
from podspace.kube.json import JSON
from podspace.node import neighbours, node_selection

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
SINGLE_POD = "ReadWriteOncePod"

Lookup = Callable[[str, str, str], JSON | None]  # (resource, namespace, name) -> object


class Use(NamedTuple):
    """A Pod's volume that is a claim. ``ephemeral``: the claim is made for the Pod, and is its own."""

    volume: str
    claim: str
    ephemeral: bool


def used_by(pod: JSON) -> Iterator[Use]:
    """The claims of a Pod, in the order of its volumes."""
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield Use(volume["name"], volume["persistentVolumeClaim"]["claimName"], ephemeral=False)
        elif "ephemeral" in volume:
            yield Use(volume["name"], f"{pod['metadata']['name']}-{volume['name']}", ephemeral=True)


def users(claim: JSON, pods: Iterable[JSON]) -> list[JSON]:
    """The Pods that hold on to a claim."""
    namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
    return [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == namespace and not neighbours.is_over(pod) and any(use.claim == name for use in used_by(pod))
    ]


def is_owned(claim: JSON, pod: JSON) -> bool:
    """Whether an ephemeral volume's claim was made for this very Pod."""
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == pod["metadata"]["uid"] for owner in owners)


def is_bound(claim: JSON) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound" and bool(claim["spec"].get("volumeName"))


def is_for(volume: JSON, claim: JSON) -> bool:
    """Whether a volume's claimRef is this claim; one without a uid waits for any claim of that name."""
    reference, metadata = volume["spec"].get("claimRef") or {}, claim["metadata"]
    if (reference.get("namespace"), reference.get("name")) != (metadata["namespace"], metadata["name"]):
        return False
    return reference.get("uid") in (None, "", metadata["uid"])


def best_volume(claim: JSON, volumes: Iterable[JSON], node: JSON | None) -> JSON | None:
    """The volume to bind: one that is kept for this claim, else the smallest that is free and fits."""
    fitting = [volume for volume in volumes if _fits(claim, volume, node)]
    mine = [volume for volume in fitting if volume["spec"].get("claimRef")]
    return min(mine or fitting, key=_size, default=None)


def _size(volume: JSON) -> tuple[int, str]:
    return _nanos((volume["spec"].get("capacity") or {}).get("storage")), volume["metadata"]["name"]


def _nanos(amount: str | None) -> int:
    return quantity.parse(amount or "0").nanos


def _fits(claim: JSON, volume: JSON, node: JSON | None) -> bool:
    spec, wanted, name = volume["spec"], claim["spec"], claim["spec"].get("volumeName")
    if volume["metadata"].get("deletionTimestamp") or (name and name != volume["metadata"]["name"]):
        return False
    if spec.get("claimRef") and not is_for(volume, claim):
        return False
    return (
        storage.class_of(volume) == storage.class_of(claim)
        and spec.get("volumeMode", "Filesystem") == wanted.get("volumeMode", "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
        and _size(volume)[0] >= _nanos(storage.requested(claim))
        and _selected(wanted.get("selector"), volume)
        and is_reachable(volume, node)
    )


def _selected(selector: JSON | None, volume: JSON) -> bool:
    return selector is None or node_selection.labelled(selector, volume["metadata"].get("labels") or {})


def is_reachable(volume: JSON, node: JSON | None) -> bool:
    """Whether a volume's node affinity lets this node have it."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or (node is not None and node_selection.matches(required, node))


def obstacle(pod: JSON, lookup: Lookup, node: JSON, pods: Iterable[JSON]) -> str | None:
    """Return in the scheduler's words why the Pod's claims keep it from running, None if they do not."""
    namespace, others = pod["metadata"]["namespace"], list(pods)
    for use in used_by(pod):
        claim = lookup(CLAIMS, namespace, use.claim)
        if claim is None and use.ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{use.claim}".'
        if claim is None:
            return f'persistentvolumeclaim "{use.claim}" not found.'
        if why := _unusable(pod, claim, use, lookup, node, others):
            return why
    return None


def _unusable(pod: JSON, claim: JSON, use: Use, lookup: Lookup, node: JSON, pods: list[JSON]) -> str | None:
    if use.ephemeral and not is_owned(claim, pod):
        return not_owned(claim, pod) + "."
    if claim["metadata"].get("deletionTimestamp"):
        return f'persistentvolumeclaim "{use.claim}" is being deleted.'
    if (claim.get("status") or {}).get("phase") == "Lost":
        return f'persistentvolumeclaim "{use.claim}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName", "")}".'
    if not is_bound(claim):
        return "pod has unbound immediate PersistentVolumeClaims."
    volume = lookup(VOLUMES, "", claim["spec"]["volumeName"])
    if volume is None:
        return f'persistentvolume "{claim["spec"]["volumeName"]}" not found.'
    if not is_reachable(volume, node):
        return "1 node(s) didn't match PersistentVolume's node affinity."
    taken = [other for other in users(claim, pods) if other["spec"].get("nodeName") and other["metadata"]["uid"] != pod["metadata"]["uid"]]
    if SINGLE_POD in (claim["spec"].get("accessModes") or ()) and taken:
        return "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode."
    return None


def not_owned(claim: JSON, pod: JSON) -> str:
    """A claim of the name an ephemeral volume's would have, made by somebody else."""
    namespace = pod["metadata"]["namespace"]
    return f"PVC {namespace}/{claim['metadata']['name']} was not created for pod {namespace}/{pod['metadata']['name']} (pod is not owner)"
