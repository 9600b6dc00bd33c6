"""Ages as kubectl's tables show them."""

from __future__ import annotations

import pytest

from podspace.kube import duration

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-2, "<invalid>"),
        (-1.5, "0s"),
        (-0.5, "0s"),
        (0, "0s"),
        (16.9, "16s"),
        (119.9, "119s"),
        (2 * MINUTE, "2m"),
        (8 * MINUTE + 34, "8m34s"),
        (10 * MINUTE + 5, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 20 * MINUTE, "3h20m"),
        (8 * HOUR + MINUTE, "8h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 5 * HOUR, "2d5h"),
        (8 * DAY + HOUR, "8d"),
        (326 * DAY, "326d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 31 * DAY, "2y31d"),
        (9 * YEAR + DAY, "9y"),
    ],
)
def test_a_duration_is_told_in_one_or_two_units(seconds: float, text: str) -> None:
    assert duration.human(seconds) == text
