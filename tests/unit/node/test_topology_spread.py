"""Spreading over the one domain there is."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import topology_spread

NODE: dict[str, Any] = {"metadata": {"name": "n", "labels": {"zone": "a"}}}
WEB = {"metadata": {"name": "w", "namespace": "default", "labels": {"app": "web"}}, "spec": {}}


def spread(**fields: Any) -> dict[str, Any]:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    return WEB | {"spec": {"topologySpreadConstraints": [constraint | fields]}}


@pytest.mark.parametrize(
    ("fields", "running", "words"),
    [
        ({}, 5, ""),
        ({"topologyKey": "rack"}, 0, topology_spread.UNLABELLED),
        ({"topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}, 0, ""),
        ({"minDomains": 2}, 0, ""),
        ({"minDomains": 2}, 1, topology_spread.VIOLATED),
        ({"minDomains": 2, "maxSkew": 2}, 1, ""),
        ({"minDomains": 2, "labelSelector": {"matchLabels": {"app": "db"}}}, 3, ""),
        ({"minDomains": 2, "labelSelector": None}, 3, ""),
    ],
)
def test_one_domain_is_even_unless_more_are_asked_for(fields: dict[str, Any], running: int, words: str) -> None:
    assert topology_spread.violated(spread(**fields), NODE, [WEB] * running) == words
