"""POST to a collection: decode, default, admit, check, store.

Called by ``dispatch``. What differs between kinds is in their strategy and in ``kube``.
Source: apiserver handlers/create.go and registry/rest BeforeCreate, as seen on the wire.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors
from podspace.api import metadata, ownership, pod_policy, query, token_requests
from podspace.api.call import Call
from podspace.kube.json import JSON

_MISMATCH = "the namespace of the provided object does not match the namespace sent on the request"


async def create(call: Call) -> web.StreamResponse:
    """Answer 201 with the object as it is stored.  Raises: what decoding, admission, validation and the store raise."""
    options = query.write_options(call.query, "CreateOptions")
    obj = await decoded(call, options.field_validation)
    check_namespace(call, obj)
    metadata.fill_new(obj, namespace=call.target.namespace, created=call.services.timestamp())
    require_namespace(call, metadata.name_of(obj))
    stored = await save_new(call, prepare_new(call, obj), dry_run=options.dry_run)
    return call.answer_stored(stored, code=201)


async def save_new(call: Call, stored: JSON, *, dry_run: bool) -> JSON:
    """Write it down if there is room.  Raises: AlreadyExists, Forbidden, Unavailable."""
    async with call.services.quotas.room(call.target.resource, call.target.namespace, stored):
        if not dry_run:
            return await call.store.create(call.strategy.key, stored, durable=call.strategy.durable)
    metadata.of(stored).pop("resourceVersion", None)
    refuse_duplicate(call, metadata.name_of(stored))
    return stored


async def decoded(call: Call, field_validation: str) -> JSON:
    """Read the body as this path's kind; unknown fields become warnings, or an error under Strict."""
    from podspace.kube import decode

    result = decode.decode(await call.body(), call.content_type, call.target.resource, field_validation=field_validation)
    call.warnings.extend(result.warnings)
    return result.obj


def prepare_new(call: Call, obj: JSON, entries: list[JSON] | None = None) -> JSON:
    """Default, admit and check a new object, which already has its metadata; return its stored form.  Raises: Forbidden, Invalid.

    ``entries``: who owns its fields, None = whoever makes the request owns all it says.
    """
    from podspace.kube import admission, defaults, resources, validation

    resource = call.target.resource
    version = str(metadata.of(obj).get("resourceVersion") or "")
    defaults.apply(resource.kind, obj)
    stored = call.strategy.incoming(obj)
    owned = ownership.created(call, stored) if entries is None else entries
    _admit(call, stored)
    call.strategy.prepare_create(stored)
    if owned:
        metadata.of(stored)["managedFields"] = owned
    metadata.order(stored)
    causes = validation.validate_create(resource.kind, stored)
    if causes:
        raise errors.Invalid(resource.kind, metadata.name_of(obj), causes, group=resource.group)
    if version not in ("", "0"):
        raise errors.Internal("resourceVersion should not be set on objects to be created")
    call.warnings.extend(validation.warnings(resource.kind, stored))
    if resource.kind == "Pod":
        admission.check_pod(stored, runtimes=call.store.list(resources.RUNTIMECLASSES.qualified)[0])
        pod_policy.check_pod(call, stored)
    elif resource.kind == "Namespace":
        pod_policy.check_namespace(call, stored, None)
    if resource.kind == "Pod" and call.services.lens is not None:
        call.warnings.extend(call.services.lens.warnings(stored))
    return stored


def _admit(call: Call, obj: JSON) -> None:
    from podspace.kube import admission, limits, resources, services

    match call.target.resource.kind:
        case "Pod":
            _admit_account(call, obj)
            classes = (call.store.list(resource.qualified)[0] for resource in (resources.PRIORITYCLASSES, resources.RUNTIMECLASSES))
            priorities, runtimes = classes
            admission.admit_pod(obj, priorities=priorities, runtimes=runtimes)
            limits.admit_pod(obj, call.store.list("limitranges", call.target.namespace)[0])
        case "Secret":
            token_requests.fill_secret(call, obj)
        case "Service":
            services.allocate(obj, {(one.get("spec") or {}).get("clusterIP", "") for one in call.store.list("services")[0]})
        case "PersistentVolumeClaim":
            admission.admit_claim(obj, call.store.list(resources.STORAGECLASSES.qualified)[0])
            limits.admit_claim(obj, call.store.list("limitranges", call.target.namespace)[0])


def _admit_account(call: Call, pod: JSON) -> None:
    """Let the Pod run as its ServiceAccount.  Raises: Forbidden if it names one that is not there."""
    from podspace.kube import admission, names

    name, namespace = admission.service_account_name(pod), call.target.namespace
    account = call.store.get("serviceaccounts", namespace, name)
    if account is None and name != "default":  # that one may be a moment younger than its namespace
        problems = names.path_segment(name)
        why = f'invalid resource name "{name}": [{" ".join(problems)}]' if problems else f'serviceaccount "{name}" not found'
        raise errors.Forbidden(
            f'pods "{metadata.name_of(pod)}" is forbidden: error looking up service account {namespace}/{name}: {why}',
            resource="pods",
            name=metadata.name_of(pod),
        )
    admission.admit_service_account(pod, account or {})


def check_namespace(call: Call, obj: JSON) -> None:
    """Raise BadRequest if the body names another namespace than the path; fill it in if it names none."""
    given = metadata.of(obj).get("namespace") or ""
    if call.target.resource.namespaced:
        if given and given != call.target.namespace:
            raise errors.BadRequest(_MISMATCH)
        metadata.of(obj)["namespace"] = call.target.namespace
    elif given:
        raise errors.BadRequest(_MISMATCH)


def require_namespace(call: Call, name: str) -> None:
    """Raise NotFound or Forbidden unless the path's namespace takes new objects."""
    namespace = call.target.namespace
    if not call.target.resource.namespaced:
        return
    found = call.store.get("namespaces", "", namespace)
    if found is None:
        raise errors.NotFound.of("namespaces", namespace)
    if metadata.is_terminating(found):
        cause = errors.Cause(
            reason="NamespaceTerminating", message=f"namespace {namespace} is being terminated", field="metadata.namespace"
        )
        resource = call.target.resource
        raise errors.Forbidden(
            f'{resource.qualified} "{name}" is forbidden: '
            f"unable to create new content in namespace {namespace} because it is being terminated",
            resource=resource.plural,
            name=name,
            causes=[cause],
        )


def refuse_duplicate(call: Call, name: str) -> None:
    """Raise AlreadyExists, as a real create would."""
    resource = call.target.resource
    if call.store.get(call.strategy.key, call.target.namespace, name) is not None:
        raise errors.AlreadyExists(
            f'{resource.qualified} "{name}" already exists', resource=resource.plural, name=name, group=resource.group
        )
