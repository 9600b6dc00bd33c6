"""From a ``PodspaceError`` to the HTTP answer a Kubernetes client understands: the one table of codes and reasons.

Called by the request boundary (``dispatch``), by the watch stream (ERROR events) and by the log stream. Nothing else in ``api``
knows a status code of a failure. It must not know which handler failed.
"""

from __future__ import annotations

from typing import NamedTuple

from podspace import errors
from podspace.kube.json import JSON


class Failure(NamedTuple):
    """A code, the Status object that goes with it, and headers to add."""

    code: int
    status: JSON
    headers: dict[str, str]


# reason "": the API server sends none with a plain 500.
_TABLE: dict[type[errors.PodspaceError], tuple[int, str]] = {
    errors.BadRequest: (400, "BadRequest"),
    errors.FailedPrecondition: (400, "BadRequest"),  # a kubelet's answer for "waiting to start", "not running"
    errors.Unauthorized: (401, "Unauthorized"),
    errors.Forbidden: (403, "Forbidden"),
    errors.NotFound: (404, "NotFound"),
    errors.MethodNotAllowed: (405, "MethodNotAllowed"),
    errors.NotAcceptable: (406, "NotAcceptable"),
    errors.AlreadyExists: (409, "AlreadyExists"),
    errors.Conflict: (409, "Conflict"),
    errors.Expired: (410, "Expired"),
    errors.TooLarge: (413, "RequestEntityTooLarge"),
    errors.UnsupportedMediaType: (415, "UnsupportedMediaType"),
    errors.Invalid: (422, "Invalid"),
    errors.Internal: (500, ""),
    errors.ToolError: (500, "InternalError"),
    errors.Unsupported: (501, "NotImplemented"),
    errors.Unavailable: (503, "ServiceUnavailable"),
    errors.TimedOut: (504, "Timeout"),
    errors.PodspaceError: (500, "InternalError"),
}


def translate(error: errors.PodspaceError) -> Failure:
    """Return code, Status and headers for an error.  Source: apimachinery api/errors; meta/v1 Status."""
    code, reason = next(_TABLE[base] for base in type(error).__mro__ if base in _TABLE)
    metadata: JSON = {}
    headers: dict[str, str] = {}
    if isinstance(error, errors.Expired) and error.continue_token:
        metadata["continue"] = error.continue_token
    if isinstance(error, errors.TimedOut) and error.retry_after_seconds:
        headers["Retry-After"] = str(error.retry_after_seconds)
    status: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": str(error)}
    if reason:
        status["reason"] = reason
    details = _details(error)
    if details is not None:
        status["details"] = details
    status["code"] = code
    return Failure(code, status, headers)


def success(*, code: int | None = None, details: JSON | None = None) -> JSON:
    """A Status that says all went well: the answer to deletes, bindings and evictions."""
    status: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details is not None:
        status["details"] = details
    if code is not None:
        status["code"] = code
    return status


def _details(error: errors.PodspaceError) -> JSON | None:
    """None = no ``details`` at all; apimachinery's generic errors carry an empty one."""
    match error:
        case errors.NotFound() | errors.AlreadyExists():
            return _named(error.name, error.group, error.resource)
        case errors.Forbidden() | errors.Conflict():
            return _named(error.name, "", error.resource, error.causes)
        case errors.Invalid():
            return _named(error.name, error.group, error.kind, error.causes)
        case errors.TimedOut():
            details = _named("", "", "", error.causes)
            if error.retry_after_seconds:
                details["retryAfterSeconds"] = error.retry_after_seconds
            return details
        case errors.MethodNotAllowed():
            return {}
        case errors.NotAcceptable() | errors.UnsupportedMediaType() if str(error)[:3].isdigit():
            return {}
        case _:
            return None


def _named(name: str, group: str, kind: str, causes: tuple[errors.Cause, ...] = ()) -> JSON:
    details: JSON = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    if causes:
        details["causes"] = [_cause(cause) for cause in causes]
    return details


def _cause(cause: errors.Cause) -> JSON:
    rendered: JSON = {"reason": cause.reason, "message": cause.message}
    if cause.field:
        rendered["field"] = cause.field
    return rendered
