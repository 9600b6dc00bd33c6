"""Who wrote what: the entries of ``metadata.managedFields`` that a request leaves behind.

Called by the write handlers, for creation after defaulting and before admission, for updates from ``updating``. The rules are in
``kube.managedfields``; here is what they need to know of a request: the manager's name, the path, the clock.
Source: apiserver endpoints/handlers (managerOrUserAgent), strategies' GetResetFields.
"""

from __future__ import annotations

import functools
from typing import Any

from podspace.api import metadata
from podspace.api.call import Call
from podspace.api.strategy import Strategy
from podspace.kube import fieldsets, managedfields
from podspace.kube.fieldsets import Tree
from podspace.kube.fieldshapes import NoKey
from podspace.kube.json import JSON
from podspace.kube.managedfields import APPLY, UPDATE, Entries, Filter, Manager

_MANAGER_BYTES = 128
_FIELD = "managedFields"


def manager(call: Call, operation: str = UPDATE) -> Manager:
    """Who the request says it is: ``?fieldManager``, else the User-Agent up to the first slash."""
    name = call.query.get("fieldManager") or _from_user_agent(call.http.headers.get("User-Agent", ""))
    return Manager(
        name=name or "unknown", operation=operation, api_version=call.strategy.stored_version, subresource=call.target.subresource
    )


@functools.lru_cache(maxsize=256)
def _from_user_agent(agent: str) -> str:
    printable = "".join(letter for letter in agent.partition("/")[0] if letter.isprintable())
    return printable.encode()[:_MANAGER_BYTES].decode(errors="ignore")


def created(call: Call, obj: JSON) -> list[JSON]:
    """The entries of a new object, given as it is after defaulting; none if items of its lists lack what tells them apart."""
    strategy = call.strategy
    try:
        entries = managedfields.update(strategy.model, None, obj, {}, manager(call), call.services.timestamp(), kept=writable(strategy, ""))
    except NoKey:
        return []
    return managedfields.encoded(entries)


def updated(call: Call, old: JSON, wanted: JSON, sent: Any) -> list[JSON]:
    """The entries after ``old`` became ``wanted``, which is as the client sent it, defaulted. ``sent``: its own managedFields, if any."""
    strategy, subresource = call.strategy, call.target.subresource
    live = metadata.of(old).get(_FIELD)
    before = managedfields.given(live, sent, subresource=subresource)
    kept = writable(strategy, subresource)
    try:
        after = managedfields.update(strategy.model, old, wanted, before, manager(call), call.services.timestamp(), kept=kept)
    except NoKey:
        return live or []
    return live if after is before and live and sent is None else managedfields.encoded(after)


def applied(call: Call, live: JSON | None, config: JSON, *, force: bool, yielding: Tree | None = None) -> managedfields.Applied:
    """What server-side apply makes of a manifest.  Raises: Conflict."""
    strategy = call.strategy
    entries: Entries = managedfields.decoded(metadata.of(live).get(_FIELD)) if live is not None else {}
    return managedfields.apply(
        strategy.model,
        live,
        config,
        entries,
        manager(call, APPLY),
        call.services.timestamp(),
        force=force,
        kept=writable(strategy, call.target.subresource),
        yielding=yielding,
    )


def encoded(applied: managedfields.Applied) -> list[JSON]:
    """The entries as the object holds them."""
    return managedfields.encoded(applied.entries)


@functools.cache
def writable(strategy: Strategy, subresource: str) -> Filter:
    """Drops from a set of fields what a path does not write: nobody comes to own the status by a write to the main path."""
    match subresource:
        case "":
            return (lambda tree: fieldsets.without(tree, "f:status")) if strategy.status_is_separate else (lambda tree: tree)
        case "status":
            return lambda tree: _without_owners(fieldsets.without(tree, "f:spec"))
        case "ephemeralcontainers":
            return lambda tree: fieldsets.only(tree, "f:spec", "f:ephemeralContainers")
        case "resize":
            return lambda tree: fieldsets.only(tree, "f:spec")
        case _:
            return lambda tree: tree


def _without_owners(tree: Tree) -> Tree:
    for field in ("f:ownerReferences", "f:deletionTimestamp"):
        tree = fieldsets.without(tree, "f:metadata", field)
    return tree


def settled(old: JSON, new: JSON) -> None:
    """Take the old entries back if they differ in nothing but times and the rest of the object is the same: then nothing happened."""
    before, after = metadata.of(old), metadata.of(new)
    entries = before.get(_FIELD)
    if not entries or entries == after.get(_FIELD) or not managedfields.same_but_times(entries, after.get(_FIELD)):
        return
    if {**new, "metadata": {**after, _FIELD: entries}} == old:
        after[_FIELD] = entries
