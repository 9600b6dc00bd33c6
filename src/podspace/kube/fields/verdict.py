"""What a verdict on a field is, and how to change one.

The ledger has one line per field, sorted, by type, in this package's other modules: ``pod``, ``containers``, ``environment``, ``probes``,
``volumes``, ``security``, ``resources``, ``scheduling``, ``network``. A verdict is one of

- ``honoured("conformance/pods/test_x.py::test_y", ...)``: it does what Kubernetes documents, as these tests show (paths below ``tests/``);
  ``but=refused("why", when=..., example=...)`` for the values that are refused all the same;
- ``kept("what that means")``: meaningless on one node; accepted, shown again, and the effect is the sentence;
- ``refused("why")``: a Pod that sets it is not run. ``node/support`` reads these entries, so nothing else must be changed to refuse a
  field or to stop refusing it. ``when=`` narrows it to some values (``(value, spec of the Pod) -> bool``, with an ``example=`` of one);
- ``refused_by_api("words")``: the API answers 403 or 422; the words are a part of its message.

To honour a field: replace its line, and give a line to each field of the type it leads to (types that are reached through refused fields
only need none: they are refused with them). Then ``make fields`` writes ``docs/pod-fields.md`` anew. ``tests/unit/kube/test_fields.py``
checks that no field is without a verdict (against lightkube-models), that the page is the generated one, that the named tests exist, and
``tests/unit/node/test_support.py`` that every refused field is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from podspace.kube.json import JSON

When = Callable[[Any, JSON], bool]


class Kind(StrEnum):
    HONOURED = "honoured"
    KEPT = "meaningless on one node"
    REFUSED = "refused"
    REFUSED_BY_API = "refused by the API"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``text`` is the effect (kept) or why (refused). ``when`` and ``example``: see ``refused``."""

    kind: Kind
    text: str = ""
    tests: tuple[str, ...] = ()
    when: When | None = None
    example: Any = None
    but: Verdict | None = None

    @property
    def refusal(self) -> Verdict | None:
        """The part of the verdict by which the node refuses a Pod."""
        return self if self.kind is Kind.REFUSED else self.but


Types = Mapping[str, Mapping[str, Verdict]]  # model of lightkube-models -> field as in a manifest -> verdict


def honoured(*tests: str, but: Verdict | None = None) -> Verdict:
    return Verdict(kind=Kind.HONOURED, tests=tests, but=but)


def kept(effect: str, *, but: Verdict | None = None) -> Verdict:
    return Verdict(kind=Kind.KEPT, text=effect, but=but)


def refused(why: str, *, when: When | None = None, example: Any = None) -> Verdict:
    return Verdict(kind=Kind.REFUSED, text=why, when=when, example=example)


def refused_by_api(words: str) -> Verdict:
    return Verdict(kind=Kind.REFUSED_BY_API, text=words)
