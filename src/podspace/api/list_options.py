"""resourceVersion, resourceVersionMatch, sendInitialEvents, limit: what list, watch and get may be told, checked.

Called by ``handlers_get``, ``handlers_list`` and ``handlers_watch``. It must not know objects.
Source: apimachinery internalversion validation ValidateListOptions.
"""

from __future__ import annotations

from dataclasses import dataclass

from podspace import errors
from podspace.api.query import Query

_MATCH = "resourceVersionMatch"
LONGEST_REVISION = 19  # digits of 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """``limit`` 0 = no limit; ``revision`` None = not given; ``match``: "", Exact or NotOlderThan."""

    limit: int = 0
    token: str = ""
    revision: int | None = None
    match: str = ""


def for_list(query: Query) -> ListOptions:
    """Raises: Invalid, BadRequest."""
    limit = query.integer("limit") or 0
    version, match, token = query.get("resourceVersion"), query.get(_MATCH), query.get("continue")
    causes = _list_causes(version, match, query.flag("sendInitialEvents"))
    if causes:
        raise errors.Invalid("ListOptions", "", causes, group="meta.k8s.io")
    if token and version not in ("", "0"):
        raise errors.BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(limit=max(limit, 0), token=token, revision=revision(version), match=match)


def check_watch(query: Query) -> None:
    """Raises: Invalid."""
    match, initial = query.get(_MATCH), query.all("sendInitialEvents")
    causes = []
    if initial and match != "NotOlderThan":
        causes.append(_forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        if match:
            causes.append(_unsupported(match, '"NotOlderThan"'))
    elif match and not initial:
        causes.append(_forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
    if causes:
        raise errors.Invalid("ListOptions", "", causes, group="meta.k8s.io")


def revision(text: str) -> int | None:
    """A resourceVersion parameter; "" and "0" ask for nothing in particular.  Raises: BadRequest."""
    if not text.isascii() or (text and not text.isdigit()):
        raise errors.BadRequest(f"invalid resource version: {not_a_number(text)}")
    if len(text) > LONGEST_REVISION:
        raise errors.BadRequest(f"invalid resource version: {not_a_number(text, 'value out of range')}")
    return int(text) if text and text != "0" else None


def not_a_number(text: str, why: str = "invalid syntax") -> str:
    """What Go says about such a resourceVersion."""
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}'


def refuse_future(asked: int | None, current: int) -> None:
    """Raise TimedOut for a revision that is still to come.

    An API server waits three seconds for its cache to catch up first; this one is never behind, so waiting would change nothing.
    """
    if asked is not None and asked > current:
        cause = errors.Cause(reason="ResourceVersionTooLarge", message="Too large resource version")
        raise errors.TimedOut(f"Timeout: Too large resource version: {asked}, current: {current}", retry_after_seconds=1, causes=[cause])


def _list_causes(version: str, match: str, initial: bool) -> list[errors.Cause]:
    if initial:
        return [
            errors.Cause(
                reason="FieldValueForbidden", message="Forbidden: sendInitialEvents is forbidden for list", field="sendInitialEvents"
            )
        ]
    if not match:
        return []
    causes = []
    if not version:
        causes.append(_forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if match not in ("Exact", "NotOlderThan"):
        causes.append(_unsupported(match, '"Exact", "NotOlderThan", ""'))
    if match == "Exact" and version == "0":
        causes.append(_forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    return causes


def _forbidden(detail: str) -> errors.Cause:
    return errors.Cause(reason="FieldValueForbidden", message=f"Forbidden: {detail}", field=_MATCH)


def _unsupported(value: str, supported: str) -> errors.Cause:
    return errors.Cause(
        reason="FieldValueNotSupported", message=f'Unsupported value: "{value}": supported values: {supported}', field=_MATCH
    )
