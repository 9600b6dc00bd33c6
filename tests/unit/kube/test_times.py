"""Timestamps as the API writes and reads them."""

from __future__ import annotations

import pytest

from podspace.kube import times


def test_seconds_are_cut_not_rounded() -> None:
    assert times.rfc3339(1764000000.999) == "2025-11-24T16:00:00Z"
    assert times.rfc3339(-0.5) == "1969-12-31T23:59:59Z"


def test_years_always_have_four_digits() -> None:
    before = -62135596798
    assert (times.rfc3339(before), times.rfc3339_micro(before)) == ("0001-01-01T00:00:02Z", "0001-01-01T00:00:02.000000Z")


def test_micro_times_always_have_six_digits() -> None:
    assert times.rfc3339_micro(1764000000.5) == "2025-11-24T16:00:00.500000Z"
    assert times.rfc3339_micro(1764000000) == "2025-11-24T16:00:00.000000Z"


@pytest.mark.parametrize(
    "text",
    ["2025-11-24T16:00:00Z", "2025-11-24T17:00:00+01:00", "2025-11-24T16:00:00.000000Z", "2025-11-24T16:00:00.000000000Z"],
)
def test_what_is_written_can_be_read_back(text: str) -> None:
    assert times.parse(text) == 1764000000


@pytest.mark.parametrize("text", ["", "yesterday", "2025-11-24T16:00:00", "2025-13-24T16:00:00Z"])
def test_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        times.parse(text)


@pytest.mark.parametrize("seconds", [2**40, 2**62 + 0.5, 2**63])
def test_the_last_moment_is_that_of_four_digits_of_years(seconds: float) -> None:
    assert times.rfc3339(seconds) == "9999-12-31T23:59:59Z"
    assert times.rfc3339(times.parse(times.rfc3339(seconds))) == "9999-12-31T23:59:59Z"
