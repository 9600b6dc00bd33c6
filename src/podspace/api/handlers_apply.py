"""Server-side apply: PATCH with a manifest of what the caller cares about, ``application/apply-patch+yaml``.

Called by ``handlers_patch``. Who owns what is decided by ``kube.managedfields``; here is the way of a manifest from the wire to the store,
and kubectl's step over from client-side apply: its annotation's fields are yielded to it, and the annotation follows what is applied.
Source: apiserver handlers/patch.go applyPatcher, apimachinery managedfields lastapplied*, as seen on the wire.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from podspace import errors
from podspace.api import handlers_create, metadata, ownership, query, shape, updating
from podspace.api.call import Call
from podspace.kube.fieldsets import Tree
from podspace.kube.json import JSON
from podspace.store.store import Delete

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"  # the one manager that client-side apply's annotation speaks to
_ATTEMPTS = 5  # somebody may create or delete the object meanwhile


async def apply(call: Call) -> web.StreamResponse:
    """Answer 201 with a new object, 200 with a changed one.  Raises: Conflict, NotFound, BadRequest, Invalid, Internal."""
    options = query.write_options(call.query, "PatchOptions", applies=True)
    config = _parsed(call, await call.body(), options.field_validation)
    for _ in range(_ATTEMPTS):
        try:
            if call.store.get(*call.path) is None and not call.target.subresource:
                return await _create(call, config, dry_run=options.dry_run)
            return await _update(call, config, dry_run=options.dry_run)
        except (errors.AlreadyExists, errors.NotFound):
            if (call.store.get(*call.path) is None) == bool(call.target.subresource):
                raise
    raise errors.Conflict(f"{call.target.resource.qualified} {call.target.name} is created and deleted all the time: try again")


def _parsed(call: Call, body: bytes, field_validation: str) -> JSON:
    """The manifest in its stored form, checked against the schema.  Raises: BadRequest, Internal."""
    from podspace.kube import goyaml, strict

    try:
        config, repeated = goyaml.load(body)
    except ValueError as error:
        raise errors.BadRequest(f"error decoding YAML: {error}") from error
    config = {} if config is None else config
    if not isinstance(config, dict):
        words = f"json: cannot unmarshal {strict.kind_of(config)} into Go value of type map[string]interface {{}}"
        raise errors.BadRequest(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {words}")
    if repeated and field_validation != "Ignore":
        complaint = "yaml: unmarshal errors:\n  " + "\n  ".join(repeated)
        if field_validation == "Strict":
            raise errors.BadRequest(f"error strict decoding YAML: {complaint}")
        call.warnings.append(complaint)
    _check(call, config)
    return call.strategy.incoming(config)


def _check(call: Call, config: JSON) -> None:
    from podspace.kube import fieldshapes, fieldtypes, schema

    resource, target = call.target.resource, call.target
    if (config.get("apiVersion"), config.get("kind")) != (resource.api_version, resource.kind):
        raise errors.BadRequest(f"invalid object type: {_type_of(config)}")
    fields = config.get("metadata")
    if isinstance(fields, dict) and fields.get("managedFields") is not None:
        raise errors.BadRequest("metadata.managedFields must be nil")
    found = fieldtypes.complaints(fieldshapes.of(schema.model_of(resource.kind, resource.group)), config)
    if found:
        given = fields if isinstance(fields, dict) else {}
        what = f"{given.get('namespace') or ''}/{given.get('name') or ''}; {_type_of(config)}"
        raise errors.Internal(f"failed to create typed patch object ({what}): {fieldtypes.sentence(found)}")
    given = metadata.of(config)
    if given.get("name") != target.name:
        raise errors.BadRequest(f"the name of the object ({given.get('name') or ''}) does not match the name on the URL ({target.name})")


def _type_of(config: JSON) -> str:
    """``/v1, Kind=Pod``, as Go prints a GroupVersionKind."""
    group, slash, version = str(config.get("apiVersion") or "").rpartition("/")
    return f"{group}/{version}, Kind={config.get('kind') or ''}" if slash or version else f"/, Kind={config.get('kind') or ''}"


async def _create(call: Call, config: JSON, *, dry_run: bool) -> web.StreamResponse:
    """Raises: Conflict for a uid, what creation raises."""
    if uid := metadata.of(config).get("uid"):
        resource, name = call.target.resource, call.target.name
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {resource.qualified} "{name}": uid mismatch: the provided object specified uid {uid}, '
            "and no existing object was found",
            resource=resource.plural,
            name=name,
        )
    applied = ownership.applied(call, None, config, force=True)
    assert applied.obj is not None
    obj = _canonical(call, applied.obj)
    handlers_create.check_namespace(call, obj)
    metadata.fill_new(obj, namespace=call.target.namespace, created=call.services.timestamp())
    handlers_create.require_namespace(call, call.target.name)
    stored = handlers_create.prepare_new(call, obj, ownership.encoded(applied))
    stored = await handlers_create.save_new(call, stored, dry_run=dry_run)
    return call.answer_stored(stored, code=201)


async def _update(call: Call, config: JSON, *, dry_run: bool) -> web.StreamResponse:
    def change(old: JSON) -> JSON | Delete:
        applied = ownership.applied(call, old, config, force=call.query.flag("force"), yielding=_yielding(call, old))
        wanted = applied.obj if applied.obj is not None else {**old, "metadata": {**old["metadata"], **_asked(config)}}
        if applied.obj is not None and ownership.manager(call).name == _KUBECTL:
            wanted = _with_last_applied(wanted, config)
        updating.check_identity(call, wanted)
        return updating.settle(call, old, _canonical(call, wanted), ownership.encoded(applied))

    if dry_run:
        settled = change(call.existing())
        return call.answer(shape.one(call, settled.obj if isinstance(settled, Delete) else settled))
    return call.answer_stored(await call.store.mutate(*call.path, change, durable=call.strategy.durable))


def _asked(config: JSON) -> JSON:
    """What the manifest demands of the live object: settled like any other precondition."""
    return {key: value for key, value in metadata.of(config).items() if key in ("uid", "resourceVersion") and value}


def _canonical(call: Call, obj: JSON) -> JSON:
    """Typed, defaulted, in order; a stored form.  Raises: BadRequest."""
    from podspace.kube import defaults, strict

    kind = call.strategy.stored_kind
    checked = strict.convert(obj, call.strategy.model)
    wanted = {"kind": kind, "apiVersion": call.strategy.stored_version}
    wanted.update((name, value) for name, value in checked.obj.items() if name not in wanted)
    defaults.apply(kind, wanted)
    return wanted


def _yielding(call: Call, live: JSON) -> Tree | None:
    """The fields that kubectl's client-side apply set, which its server-side apply may take over."""
    from podspace.kube import managedfields

    if ownership.manager(call).name != _KUBECTL:
        return None
    text = (metadata.of(live).get("annotations") or {}).get(LAST_APPLIED)
    try:
        return managedfields.applied_by_client(call.strategy.model, live, json.loads(text)) if text else None
    except ValueError:
        return None


def _with_last_applied(obj: JSON, config: JSON) -> JSON:
    """Keep the annotation of client-side apply true, if the object has one."""
    annotations: Any = (obj.get("metadata") or {}).get("annotations") or {}
    if LAST_APPLIED not in annotations:
        return obj
    said = {**config, "metadata": dict(metadata.of(config))}
    mine = {key: value for key, value in (said["metadata"].get("annotations") or {}).items() if key != LAST_APPLIED}
    said["metadata"].pop("annotations", None)
    if mine:
        said["metadata"]["annotations"] = mine
    text = json.dumps(said, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}
