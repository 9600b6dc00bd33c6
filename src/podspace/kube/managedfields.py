"""Who owns which field of an object: ``metadata.managedFields`` through plain writes and server-side apply.

Called by ``api`` between defaulting and admission (what admission adds has no owner), and by whoever writes a status. Pure: objects and
entries in, entries out. Objects are stored forms; entries of other versions are kept as they are.
Source: KEP-555; apimachinery util/managedfields; structured-merge-diff merge.Updater; behaviour of Kubernetes 1.36 as recorded.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from podspace import errors
from podspace.kube import fieldsets, fieldshapes, fieldwalk, strict
from podspace.kube.fieldsets import Tree
from podspace.kube.fieldwalk import ABSENT
from podspace.kube.json import JSON

APPLY, UPDATE = "Apply", "Update"
BEFORE_FIRST_APPLY = "before-first-apply"
MOST_UPDATE_MANAGERS = 10
_ANCIENT = "ancient-changes"
_NOBODYS = tuple(
    ("f:metadata", f"f:{name}")
    for name in (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)
Filter = Callable[[Tree], Tree]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who writes, how (APPLY or UPDATE), in which version and through which subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells entries apart: an applier is the same in every version."""
        return self.name, self.operation, "" if self.operation == APPLY else self.api_version, self.subresource


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One manager's fields. ``time`` "" = it has changed nothing so far."""

    manager: Manager
    fields: Tree
    time: str = ""

    def to_json(self) -> JSON:
        manager = self.manager
        found: JSON = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version}
        if self.time:
            found["time"] = self.time
        found.update(fieldsType="FieldsV1", fieldsV1=fieldsets.arranged(self.fields))
        if manager.subresource:
            found["subresource"] = manager.subresource
        return found


Entries = dict[tuple[str, str, str, str], Entry]


def decoded(raw: Any) -> Entries:
    """The entries of an object; {} if there are none or they are not ours to read."""
    found: Entries = {}
    for item in raw or ():
        if (
            item.get("fieldsType") != "FieldsV1"
            or item.get("operation") not in (APPLY, UPDATE)
            or not isinstance(item.get("fieldsV1"), dict)
        ):
            return {}
        manager = Manager(
            name=item.get("manager") or "",
            operation=item["operation"],
            api_version=item.get("apiVersion") or "",
            subresource=item.get("subresource") or "",
        )
        found[manager.identity] = Entry(manager=manager, fields=item["fieldsV1"], time=item.get("time") or "")
    return found


def encoded(entries: Entries) -> list[JSON]:
    """For ``metadata.managedFields``: appliers first, each group by time."""

    def place(entry: Entry) -> tuple[str, str, str, str, str]:
        who = entry.manager
        return who.operation, entry.time, who.name, who.api_version, who.subresource

    return [entry.to_json() for entry in sorted(entries.values(), key=place)]


def given(live: Any, sent: Any, *, subresource: str) -> Entries:
    """Whose entries hold before a write: those sent along if they make sense, else the live ones; ``[]`` and ``[{}]`` clear them."""
    if subresource:
        return decoded(live)
    if sent is not None and (len(sent) == 0 or (len(sent) == 1 and not sent[0])):
        return {}
    if sent is not None and sent != live and not all(fieldsets.sound(entry.get("fieldsV1")) for entry in sent):
        return decoded(live)
    return decoded(sent) or decoded(live)


def update(
    model: str, old: JSON | None, new: JSON, entries: Entries, manager: Manager, now: str, kept: Filter = lambda tree: tree
) -> Entries:
    """The entries after a plain write. ``old`` None = the object is new; ``kept`` drops fields this path may not write.

    Nobody's fields are tracked for an object without entries until somebody applies to it.
    """
    if old is not None and not entries:
        return {}
    shape = fieldshapes.of(model)
    difference = fieldwalk.compare(shape, zero(model) if old is None else old, new)
    added, modified, removed = (kept(_owned(tree)) for tree in difference)
    touched = fieldsets.union(added, modified)
    if not touched and not removed:
        return entries
    result = _taken(entries, manager, fieldsets.union(touched, removed))
    if touched:
        before = result.get(manager.identity)
        fields = fieldsets.union(before.fields, touched) if before else touched
        result[manager.identity] = Entry(manager=manager, fields=fields, time=now)
    return _capped(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """``obj`` None = nothing to change but, perhaps, the entries."""

    obj: JSON | None
    entries: Entries


def apply(
    model: str,
    live: JSON | None,
    config: JSON,
    entries: Entries,
    manager: Manager,
    now: str,
    *,
    force: bool,
    kept: Filter = lambda tree: tree,
    yielding: Tree | None = None,
) -> Applied:
    """``config`` merged into ``live`` (None = there is nothing yet), less what the manager applied before and nobody wants any more.

    Raises: errors.Conflict with a cause for each field that somebody else has set to another value, unless ``force``; about
    ``yielding`` fields nobody fights.
    """
    shape = fieldshapes.of(model)
    before = zero(model) if live is None else live
    if not entries and live is not None:
        entries = _first(model, live, manager, kept)
    said = kept(fieldwalk.field_set(shape, config))
    mine = _owned(said)
    last = entries.get(manager.identity)
    claimed = dict(entries)
    claimed[manager.identity] = Entry(manager=manager, fields=mine, time=last.time if last else "")
    merged = fieldwalk.merge(shape, before, config)
    if last is not None and last.fields:
        wanted = functools.reduce(fieldsets.union, (entry.fields for entry in claimed.values()), said)
        merged = _pruned(shape, merged, wanted, last.fields)
    difference = fieldwalk.compare(shape, before, merged)
    added, modified, removed = (kept(_owned(tree)) for tree in difference)
    touched = fieldsets.union(added, modified)
    if not force:
        _refuse_conflicts(claimed, manager, fieldsets.difference(touched, yielding) if yielding else touched)
    result = _taken(claimed, manager, fieldsets.union(touched, removed), but=manager)
    if not mine:
        result.pop(manager.identity, None)
    if live is not None and not (touched or removed) and merged == live:
        return Applied(obj=None, entries=_capped(result))
    if mine:
        result[manager.identity] = replace(result[manager.identity], time=now)
    return Applied(obj=merged, entries=_capped(result))


@functools.cache
def zero(model: str) -> JSON:
    """An empty object as Go prints it: what a new one is compared with. Shared: read only."""
    return strict.convert({}, model).obj


def _first(model: str, live: JSON, manager: Manager, kept: Filter) -> Entries:
    """Before somebody applies for the first time, what is there gets an owner of its own."""
    before = Manager(name=BEFORE_FIRST_APPLY, operation=UPDATE, api_version=manager.api_version, subresource=manager.subresource)
    return update(model, None, live, {}, before, "", kept)


def _owned(tree: Tree) -> Tree:
    """The set without the fields that only the server writes."""
    result = {label: node for label, node in tree.items() if label not in ("f:kind", "f:apiVersion")}
    if "f:metadata" in result:
        for path in _NOBODYS:
            result = fieldsets.without(result, *path)
        if not result.get("f:metadata", True) or set(result.get("f:metadata", ())) == {fieldsets.HERE}:
            del result["f:metadata"]
    return result


def _taken(entries: Entries, manager: Manager, fields: Tree, *, but: Manager | None = None) -> Entries:
    """The entries after these fields left everybody (``but`` = except one); who has nothing left is gone."""
    result: Entries = {}
    for identity, entry in entries.items():
        if entry.manager.api_version == manager.api_version and (but is None or identity != but.identity):
            entry = replace(entry, fields=fieldsets.difference(entry.fields, fields))
        if entry.fields:
            result[identity] = entry
    return result


def _pruned(shape: fieldshapes.Shape, merged: JSON, owned: Tree, last: Tree) -> JSON:
    """The merged object less what was applied before and has no owner now; and what it held goes with it.

    ``owned``: what somebody wants, the manifest's name and kind included, which no entry holds.
    """

    def fields(value: Any) -> Tree:
        return fieldwalk.with_structs(shape, {} if value is ABSENT else fieldwalk.field_set(shape, value))

    before = fieldwalk.with_structs(shape, last)
    everything = fields(merged)
    wanted = fieldsets.union(fields(fieldwalk.remove(shape, merged, before)), fieldwalk.with_structs(shape, owned))
    remaining = fieldwalk.remove(shape, merged, fieldsets.difference(everything, wanted))
    gone = fieldsets.intersection(fieldsets.difference(everything, fields(remaining)), before)
    result = fieldwalk.remove(shape, merged, gone)
    return {} if result is ABSENT else dict(result)


def _capped(entries: Entries) -> Entries:
    """Of more than ten updaters the oldest are put together under one name."""
    updaters = sorted(
        (entry for entry in entries.values() if entry.manager.operation == UPDATE), key=lambda entry: (entry.time, entry.manager.identity)
    )
    surplus = len(updaters) - MOST_UPDATE_MANAGERS
    if surplus <= 0:
        return entries
    result = dict(entries)
    for entry in updaters[: surplus + 1]:
        ancient = Manager(name=_ANCIENT, operation=UPDATE, api_version=entry.manager.api_version)
        del result[entry.manager.identity]
        before = result.get(ancient.identity)
        fields = fieldsets.union(before.fields, entry.fields) if before else entry.fields
        result[ancient.identity] = Entry(manager=ancient, fields=fields, time=entry.time)
    return result


def _refuse_conflicts(entries: Entries, manager: Manager, touched: Tree) -> None:
    """Raise Conflict if others own what is about to change."""
    conflicts: list[tuple[str, str]] = []
    for identity, entry in sorted(entries.items()):
        if identity != manager.identity and entry.manager.api_version == manager.api_version:
            conflicts += [(_described(entry), path) for path in fieldsets.paths(fieldsets.intersection(entry.fields, touched))]
    if conflicts:
        raise conflict(conflicts)


def conflict(conflicts: Sequence[tuple[str, str]]) -> errors.Conflict:
    """The API server's words for (manager, path) pairs."""
    causes = [errors.Cause(reason="FieldManagerConflict", message=f"conflict with {who}", field=path) for who, path in conflicts]
    if len(conflicts) == 1:
        return errors.Conflict(f"Apply failed with 1 conflict: {causes[0].message}: {conflicts[0][1]}", causes=causes)
    lines = []
    for who in sorted({who for who, _ in conflicts}):
        lines += [f"conflicts with {who}:", *(f"- {path}" for other, path in conflicts if other == who)]
    return errors.Conflict(f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines), causes=causes)


def _described(entry: Entry) -> str:
    who = entry.manager
    text = json.dumps(who.name, ensure_ascii=False)
    if who.subresource:
        text += f' with subresource "{who.subresource}"'
    return f"{text} using {who.api_version}" if who.operation == UPDATE else text


def with_status(model: str, api_version: str, old: JSON, new: JSON, name: str, now: str) -> JSON:
    """``new``, which differs from ``old`` in its status, with the writer's entry; as it is if nobody's fields are tracked."""
    entries = decoded(old["metadata"].get("managedFields"))
    if not entries:
        return new
    manager = Manager(name=name, operation=UPDATE, api_version=api_version, subresource="status")
    after = update(model, {"status": old.get("status")}, {"status": new.get("status")}, entries, manager, now)
    return {**new, "metadata": {**new["metadata"], "managedFields": encoded(after)}}


def applied_by_client(model: str, live: JSON, last_applied: Any) -> Tree:
    """The fields that ``kubectl apply`` without --server-side set and nobody has changed since: they are the new applier's."""
    if not isinstance(last_applied, dict):
        return {}
    shape = fieldshapes.of(model)
    difference = fieldwalk.compare(shape, last_applied, live)
    changed = functools.reduce(fieldsets.union, difference)
    return fieldsets.difference(fieldwalk.field_set(shape, last_applied), changed)


def same_but_times(left: Any, right: Any) -> bool:
    """Whether two managedFields say the same of who owns what."""

    def timeless(raw: Any) -> list[JSON]:
        return [{key: value for key, value in entry.items() if key != "time"} for entry in raw or ()]

    def place(entry: JSON) -> tuple[str, ...]:
        return tuple(str(entry.get(key)) for key in ("operation", "manager", "apiVersion", "subresource"))

    return sorted(timeless(left), key=place) == sorted(timeless(right), key=place)
