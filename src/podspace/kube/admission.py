"""What the API server's admission plugins do to a written Pod: tolerations, priority, runtime class, the ServiceAccount's token volume.

Called by ``api`` between defaulting and validation. Pure: what would be looked up in a cluster is passed in or fixed here.
Source: plugins DefaultTolerationSeconds, Priority, RuntimeClass, ServiceAccount, DefaultStorageClass and PodResizeValidator of
kubernetes 1.36, as on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable

from podspace import errors
from podspace.kube import admission_classes, amounts, defaults, names, quantity, schema, storage
from podspace.kube.json import JSON

TOLERATION_SECONDS = 300
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME_PREFIX = "kube-api-access-"
_TOKEN_SECONDS = 3607
_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"


def admit_pod(obj: JSON, *, priorities: Iterable[JSON] = (), runtimes: Iterable[JSON] = ()) -> None:
    """Complete a new, defaulted Pod in place. ``priorities``, ``runtimes``: every PriorityClass and RuntimeClass. Raises: Forbidden."""
    spec = obj["spec"]
    _tolerations(spec)
    admission_classes.priority(obj, spec, {item["metadata"]["name"]: item for item in priorities})
    admission_classes.runtime_class(obj, spec, {item["metadata"]["name"]: item for item in runtimes})
    obj["spec"] = schema.ordered("PodSpec", spec)


def check_pod(obj: JSON, *, runtimes: Iterable[JSON]) -> None:
    """Hold a valid new Pod against the RuntimeClasses. Raises: Forbidden."""
    admission_classes.check_overhead(obj, {item["metadata"]["name"]: item for item in runtimes})


def admit_pod_update(obj: JSON, old: JSON) -> None:
    """Complete an updated Pod in place: a manifest does not repeat what was added when it was created."""
    spec, before = obj["spec"], old["spec"]
    _tolerations(spec)
    for field in ("priority", "preemptionPolicy", "serviceAccountName", "serviceAccount"):
        if field in before:
            spec.setdefault(field, before[field])
    obj["spec"] = schema.ordered("PodSpec", spec)


def admit_claim(obj: JSON, classes: Iterable[JSON]) -> None:
    """Give a new claim that names no class the default one, in place. ``classes``: every StorageClass."""
    obj["spec"] = with_default_class(obj, classes)["spec"]


def admit_claim_update(obj: JSON, old: JSON, classes: Iterable[JSON]) -> None:
    """A claim may only grow if its class says so.  Raises: Forbidden."""
    before, after = (quantity.parse(storage.requested(one)).nanos for one in (old, obj))
    growable = {one["metadata"]["name"] for one in classes if one.get("allowVolumeExpansion")}
    if after > before and (old.get("status") or {}).get("phase") == "Bound" and storage.class_of(old) not in growable:
        words = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
        name = (obj.get("metadata") or {}).get("name", "")
        raise errors.Forbidden(f'persistentvolumeclaims "{name}" is forbidden: {words}', resource="persistentvolumeclaims", name=name)


def check_resize(pod: JSON, nodes: Iterable[JSON]) -> None:
    """A bound Pod may not ask for more than all of its node.  Raises: Forbidden."""
    name, wanted = pod["metadata"]["name"], pod["spec"].get("nodeName")
    if not wanted:
        return
    node = next((node for node in nodes if node["metadata"]["name"] == wanted), None)
    if node is None:
        raise errors.Forbidden(f'pods "{name}" is forbidden: node "{wanted}" not found', resource="pods", name=name)
    asked, has = amounts.of_pod(pod["spec"], "requests"), amounts.of((node.get("status") or {}).get("allocatable"))
    cpu = [amount.get("cpu", amounts.ZERO).milli_value for amount in (asked, has)]
    memory = [amount.get("memory", amounts.ZERO).value for amount in (asked, has)]
    words = "; ".join(
        f"{what}, requested: {request}, allocatable: {most}"
        for what, (request, most) in (("cpu", cpu), ("memory", memory))
        if request > most
    )
    if words:
        message = f'pods "{name}" is forbidden: node didn\'t have enough allocatable resources: {words}'
        raise errors.Forbidden(message, resource="pods", name=name, causes=(errors.Cause(reason="NodeCapacity", message=""),))


def with_default_class(claim: JSON, classes: Iterable[JSON]) -> JSON:
    """The claim, or a copy with the default class if it names none and there is one."""
    default = None if storage.names_a_class(claim) else storage.default_class(classes)
    if default is None:
        return claim
    return claim | {"spec": schema.ordered("PersistentVolumeClaimSpec", claim["spec"] | {"storageClassName": default})}


def admit_service_account(obj: JSON, account: JSON) -> None:
    """Let a Pod run as its ServiceAccount (the caller found it by ``service_account_name``): name, pull secrets, token. In place.

    Kubernetes mounts a token into every Pod; here, where it opens next to nothing, only into those that name an account other than
    ``default`` or ask for it. ``automountServiceAccountToken: false`` of the Pod or the account keeps it out.
    """
    spec = obj["spec"]
    name = service_account_name(obj)
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken", name != "default")
    if wanted:
        _mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]
    obj["spec"] = schema.ordered("PodSpec", spec)


def service_account_name(obj: JSON) -> str:
    """The account a Pod runs as; "default" if it does not say."""
    return str(obj["spec"].get("serviceAccountName") or "default")


def _tolerations(spec: JSON) -> None:
    tolerations = list(spec.get("tolerations") or ())
    for key in (_NOT_READY, _UNREACHABLE):
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS})
    spec["tolerations"] = tolerations


def _tolerates(toleration: JSON, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


def _mount_token(spec: JSON) -> None:
    containers = list(defaults.all_containers(spec, ("initContainers", "containers")))
    lacking = [one for one in containers if not any(mount.get("mountPath") == TOKEN_MOUNT for mount in one.get("volumeMounts") or ())]
    if not lacking:
        return
    existing = next((volume["name"] for volume in spec.get("volumes") or () if volume["name"].startswith(TOKEN_VOLUME_PREFIX)), "")
    volume = existing or names.generate(TOKEN_VOLUME_PREFIX)
    for container in lacking:
        container.setdefault("volumeMounts", []).append({"name": volume, "readOnly": True, "mountPath": TOKEN_MOUNT})
    for field in ("initContainers", "containers"):
        if spec.get(field):
            spec[field] = [schema.ordered("Container", container) for container in spec[field]]
    if not existing:
        spec.setdefault("volumes", []).append(_token_volume(volume))


def _token_volume(name: str) -> JSON:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": defaults.DEFAULT_MODE}}
