"""How long Pods bear a taint that evicts."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import taint_eviction

TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "taints", "seconds"),
    [
        ([], [], None),
        ([], [TAINT | {"effect": "NoSchedule"}], None),
        ([], [TAINT], 0.0),
        ([{"operator": "Exists"}], [TAINT], None),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 7}], [TAINT], 7.0),
        ([{"key": "k", "value": "v", "tolerationSeconds": 7}, {"operator": "Exists", "tolerationSeconds": 3}], [TAINT], 3.0),
        ([{"key": "k", "value": "other"}], [TAINT], 0.0),
        ([{"key": "k", "operator": "Exists"}], [TAINT, TAINT | {"key": "other"}], 0.0),
    ],
)
def test_seconds_are_the_shortest_of_all_that_tolerate(
    tolerations: list[dict[str, Any]], taints: list[dict[str, Any]], seconds: float | None
) -> None:
    assert taint_eviction.bears_seconds({"tolerations": tolerations}, taints) == seconds
