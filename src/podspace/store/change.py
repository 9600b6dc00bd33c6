"""What happened to one object: the noun that writers make, history keeps and watchers read.

It must not know who watches, or how a change travels on the wire.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from podspace.kube.json import JSON

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One committed change. Objects are shared by all readers: copy before changing anything in them.

    obj: the new content; for DELETED the last content, with the resourceVersion of the deletion.  encoded: compact JSON of ``obj``,
    made once.  previous: the content before, None for ADDED.  line: for who sends it on as it is, made once.
    """

    kind: ChangeKind
    resource: str
    namespace: str
    name: str
    revision: int
    obj: JSON
    encoded: bytes
    previous: JSON | None = None

    @functools.cached_property
    def line(self) -> bytes:
        """The change as a watch stream has it."""
        return b'{"type":"%b","object":%b}\n' % (self.kind.encode(), self.encoded)
