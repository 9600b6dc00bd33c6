"""Lists that are read in pages show one moment: what the first page saw is kept until the last one is fetched.

Called by ``handlers_list``. Objects are immutable once stored, so a snapshot is a list of references and costs next to nothing; the
number of them is bounded, and a page of one that is gone is refused with a token for the rest as it is now (410).
Source: apiserver continue tokens: base64url(JSON {v, rv, start}), seen on the wire, opaque to clients.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from dataclasses import dataclass

from podspace import errors
from podspace.store.index import Entry

_MAX_SNAPSHOTS = 32
_INCONSISTENT = -1
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
    "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
    "returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a page starts: after ``start`` ("namespace/name"), in the list as it was at ``revision`` (-1 = as it is now)."""

    revision: int
    start: str

    @property
    def consistent(self) -> bool:
        return self.revision != _INCONSISTENT

    def token(self) -> str:
        """The opaque text for ``metadata.continue``."""
        text = json.dumps({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start + "\0"}, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position(token: str) -> Position:
    """Read a token.  Raises: BadRequest."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        offset = next((i for i, letter in enumerate(token) if not (letter.isalnum() or letter in "-_")), len(token))
        raise errors.BadRequest(f"invalid continue token: continue key is not valid: illegal base64 data at input byte {offset}") from error
    try:
        fields = json.loads(raw)
        return Position(revision=int(fields["rv"]), start=str(fields["start"]).rstrip("\0"))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.BadRequest(f"invalid continue token: continue key is not valid: {error}") from error


class Snapshots:
    """The lists that somebody is in the middle of reading."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, int], list[Entry]] = OrderedDict()

    def keep(self, resource: str, namespace: str, revision: int, objects: list[Entry]) -> None:
        """Remember a whole list; the least recently read one is forgotten when there are too many."""
        self._kept[(resource, namespace, revision)] = objects
        self._kept.move_to_end((resource, namespace, revision))
        while len(self._kept) > _MAX_SNAPSHOTS:
            self._kept.popitem(last=False)

    def find(self, resource: str, namespace: str, at: Position) -> list[Entry]:
        """The list as it was.  Raises: Expired with a token for the inconsistent rest."""
        key = (resource, namespace, at.revision)
        if key not in self._kept:
            raise errors.Expired(_TOO_OLD, continue_token=Position(revision=_INCONSISTENT, start=at.start).token())
        self._kept.move_to_end(key)
        return self._kept[key]

    def forget(self, resource: str, namespace: str, revision: int) -> None:
        """The last page is out."""
        self._kept.pop((resource, namespace, revision), None)
