"""What PUT and PATCH have in common: from the old object and the wanted one to the one that is stored.

Called by ``handlers_update`` and ``handlers_patch`` from inside ``Store.mutate``, so nobody can write in between. Pure but for the
warnings it leaves with the call.
Source: apiserver registry/rest BeforeUpdate, registry Store.Update, as seen on the wire.
"""

from __future__ import annotations

from podspace import errors
from podspace.api import metadata, ownership, pod_policy
from podspace.api.call import Call
from podspace.kube.json import JSON
from podspace.store.store import Delete


def settle(call: Call, old: JSON, wanted: JSON, entries: list[JSON] | None = None) -> JSON | Delete:
    """Return what is to be stored; a Delete if this was the last thing that kept a deleted object.

    ``old`` is the stored form and stays untouched; ``wanted`` is the stored form too and is changed. ``entries``: who owns its fields,
    None = find out from the difference.  Raises: Conflict, Invalid.
    """
    from podspace.kube import validation

    _check_preconditions(call, old, wanted)
    sent = metadata.of(wanted).pop("managedFields", None)
    if entries is None:
        entries = ownership.updated(call, old, wanted, sent)
    metadata.keep_old(wanted, old)
    resource = call.target.resource
    if not call.target.subresource and wanted.get("spec"):
        _admit(call, old, wanted)  # before the strategy: what is put back is no change that counts a generation
    call.strategy.prepare_update(wanted, old, call.target.subresource)
    metadata.own(wanted, entries)
    causes = validation.validate_update(resource.kind, wanted, old, call.target.subresource)
    if causes:
        raise errors.Invalid(resource.kind, call.target.name, causes, group=resource.group)
    if resource.kind != "Pod":  # those are changed by programs, which a server 1.36 spares the warnings
        call.warnings.extend(validation.warnings(resource.kind, wanted))
    _hold(call, old, wanted)
    ownership.settled(old, wanted)
    return Delete(obj=wanted) if _is_finished(call, wanted) else wanted


def _admit(call: Call, old: JSON, wanted: JSON) -> None:
    from podspace.kube import admission, resources, services

    match call.target.resource.kind:
        case "Pod":
            admission.admit_pod_update(wanted, old)
        case "Service" if (old.get("spec") or {}).get("type") == "ExternalName":
            services.allocate(wanted, {(one.get("spec") or {}).get("clusterIP", "") for one in call.store.list("services")[0]})
        case "PersistentVolumeClaim":
            admission.admit_claim_update(wanted, old, call.store.list(resources.STORAGECLASSES.qualified)[0])


def _hold(call: Call, old: JSON, wanted: JSON) -> None:
    """What the namespace's standards, ranges and quotas say of the change.  Raises: Forbidden, Invalid."""
    match call.target.resource.kind, call.target.subresource:
        case ("Pod", "" | "ephemeralcontainers") if wanted.get("spec") != old.get("spec"):
            pod_policy.check_pod(call, wanted)
        case ("Pod", "resize") if wanted.get("spec") != old.get("spec"):
            from podspace.kube import admission, limits

            limits.check_pod(wanted, call.store.list("limitranges", call.target.namespace)[0])
            admission.check_resize(wanted, call.store.list("nodes")[0])
            call.services.quotas.hold(call.target.resource, call.target.namespace, wanted, old)
        case ("Namespace", ""):
            pod_policy.check_namespace(call, wanted, old)


def check_identity(call: Call, obj: JSON) -> None:
    """A patch may change neither kind, name nor namespace."""
    target = call.target
    if (obj.get("apiVersion"), obj.get("kind")) != (target.resource.api_version, target.resource.kind):
        raise errors.BadRequest("the apiVersion and kind of a patched object cannot change")
    given = (obj.get("metadata") or {}).get("name") or ""
    if given != target.name:
        raise errors.BadRequest(f"the name of the object ({given}) does not match the name on the URL ({target.name})")
    if ((obj.get("metadata") or {}).get("namespace") or "") != target.namespace:
        raise errors.BadRequest("the namespace of the object does not match the namespace on the URL")


def _check_preconditions(call: Call, old: JSON, wanted: JSON) -> None:
    """resourceVersion and uid of the body must be those of the record, if given."""
    resource, name = call.target.resource, call.target.name
    asked, current = metadata.of(wanted), metadata.of(old)
    if asked.get("uid") and asked["uid"] != current["uid"]:
        where = (
            f"/registry/{resource.plural}/{call.target.namespace}/{name}"
            if call.target.namespace
            else f"/registry/{resource.plural}/{name}"
        )
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {resource.qualified} "{name}": StorageError: invalid object, Code: 4, Key: {where}, '
            f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {asked['uid']}, "
            f"UID in object meta: {current['uid']}",
            resource=resource.plural,
            name=name,
        )
    version = asked.get("resourceVersion") or "0"
    if not version.isdecimal():
        raise errors.Internal(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if version not in ("0", current["resourceVersion"]):
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
            "please apply your changes to the latest version and try again",
            resource=resource.plural,
            name=name,
        )


def _is_finished(call: Call, obj: JSON) -> bool:
    """A deleted object that no finalizer and no grace period keeps any more."""
    if not metadata.is_terminating(obj) or metadata.finalizers_of(obj) or call.strategy.must_stay(obj):
        return False
    return not metadata.of(obj).get("deletionGracePeriodSeconds")
