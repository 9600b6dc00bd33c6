"""Deleting an object: preconditions, grace, finalizers; it goes at once, or it stays for a while, marked.

Called by ``handlers_delete``, by evictions and by ``namespaces`` when it empties one. A garbage collector does not exist here, so
foreground and orphan deletion act as background: their finalizers would keep the object for ever.
Source: apiserver registry/rest BeforeDelete, pod strategy CheckGracefulDelete, as seen on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from podspace import errors
from podspace.api import metadata
from podspace.api.call import Services
from podspace.api.strategy import Strategy
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.store.store import Delete

_POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """``grace_seconds`` None = the object's own."""

    grace_seconds: int | None = None
    dry_run: bool = False
    uid: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``obj``: the object as it is now, or was last; ``gone``: it is no longer in the store."""

    obj: JSON
    gone: bool


def options_of(body: JSON) -> DeleteOptions:
    """Read a DeleteOptions object.  Raises: Invalid, BadRequest."""
    from podspace.api.query import dry_run_causes

    dry_run = list(body.get("dryRun") or ())
    policy = body.get("propagationPolicy") or ""
    causes = []
    if policy and policy not in _POLICIES:
        supported = ", ".join(f'"{known}"' for known in ("Foreground", "Background", "Orphan", "nil"))
        causes.append(
            errors.Cause(
                reason="FieldValueNotSupported",
                message=f'Unsupported value: "{policy}": supported values: {supported}',
                field="propagationPolicy",
            )
        )
    causes += dry_run_causes(dry_run)
    if causes:
        raise errors.Invalid("DeleteOptions", "", causes, group="meta.k8s.io")
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace_seconds=body.get("gracePeriodSeconds"),
        dry_run=bool(dry_run),
        uid=preconditions.get("uid") or "",
        revision=preconditions.get("resourceVersion") or "",
    )


async def delete(services: Services, strategy: Strategy, namespace: str, name: str, options: DeleteOptions) -> Outcome:
    """Delete one object of the store.  Raises: NotFound, Conflict, Forbidden."""
    gone = False

    def change(old: JSON) -> JSON | Delete:
        nonlocal gone
        obj, gone = decide(strategy, old, options, services.now())
        return Delete(obj=obj) if gone else obj

    if options.dry_run:
        old = services.store.get(strategy.key, namespace, name)
        if old is None:
            raise errors.NotFound.of(strategy.resource.plural, name, group=strategy.resource.group)
        change(old)
        return Outcome(obj=decide(strategy, old, options, services.now())[0], gone=gone)
    stored = await services.store.mutate(strategy.key, namespace, name, change, durable=strategy.durable)
    return Outcome(obj=stored, gone=gone)


def decide(strategy: Strategy, old: JSON, options: DeleteOptions, now: float) -> tuple[JSON, bool]:
    """Return the object after the delete, and whether it goes. ``old`` stays untouched.  Raises: Conflict, Forbidden."""
    _check_preconditions(strategy, old, options)
    strategy.check_delete(old)
    grace = strategy.grace_seconds(old, options.grace_seconds)
    kept = bool(metadata.finalizers_of(old)) or strategy.must_stay(old)
    if grace is None and not kept:
        return old, True
    obj = _marked(strategy, old, grace, now)
    return obj, not kept and not metadata.of(obj).get("deletionGracePeriodSeconds")


def _marked(strategy: Strategy, old: JSON, grace: int | None, now: float) -> JSON:
    """A copy with deletionTimestamp; of an object that has one, a shorter grace moves it earlier, a longer one changes nothing."""
    before = metadata.of(old)
    started = now
    if before.get("deletionTimestamp"):
        left = before.get("deletionGracePeriodSeconds")
        if grace is None or left is None or grace >= left:
            return old
        started = times.parse(before["deletionTimestamp"]) - left
    obj = {**old, "metadata": dict(before)}
    fields = metadata.of(obj)
    if grace is not None or not strategy.must_stay(old):
        fields["deletionGracePeriodSeconds"] = grace or 0
    fields["deletionTimestamp"] = times.rfc3339(started + (grace or 0))
    if strategy.counts_generation and not before.get("deletionTimestamp"):
        fields["generation"] = int(before.get("generation") or 0) + 1
    metadata.order(obj)
    strategy.prepare_delete(obj)
    return obj


def _check_preconditions(strategy: Strategy, old: JSON, options: DeleteOptions) -> None:
    record, kind, name = metadata.of(old), strategy.resource.kind, metadata.name_of(old)
    if options.uid and options.uid != record["uid"]:
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {kind} "{name}": the UID in the precondition ({options.uid}) does not match '
            f"the UID in record ({record['uid']}). The object might have been deleted and then recreated",
            resource=kind,
            name=name,
        )
    if options.revision and options.revision != record["resourceVersion"]:
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {kind} "{name}": the ResourceVersion in the precondition ({options.revision}) '
            f"does not match the ResourceVersion in record ({record['resourceVersion']}). The object might have been modified",
            resource=kind,
            name=name,
        )
