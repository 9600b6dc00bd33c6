"""Quantities are read exactly and printed as the API server prints them."""

from __future__ import annotations

import pytest

from podspace.kube import quantity


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.5", "1500m"),
        ("1500m", "1500m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000000", "1M"),
        ("1048576", "1048576"),
        ("1048576k", "1048576k"),
        ("1e3", "1e3"),
        ("12e4", "120e3"),
        ("1e-3", "1e-3"),
        ("0", "0"),
        ("0Ki", "0"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("-1.5", "-1500m"),
        ("+1", "1"),
        ("100", "100"),
        ("1E", "1E"),
        ("1Ei", "1Ei"),
        ("99999999999E", "9223372036854775807"),
        ("1n", "1n"),
        ("0.1n", "1n"),
    ],
)
def test_a_quantity_has_one_spelling(text: str, printed: str) -> None:
    assert quantity.parse(text).canonical() == printed
    assert quantity.canonical(printed) == printed


@pytest.mark.parametrize("text", ["", "1GB", "x", "1.2.3", "1 Gi", "0x10", "1,5"])
def test_what_does_not_look_like_a_quantity_is_refused_with_the_expression(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse(text)


@pytest.mark.parametrize("text", ["1Gk", "1ki", "1mm", "1e", "--1"])
def test_a_suffix_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse quantity's suffix"):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("text", "value", "milli"), [("1500m", 2, 1500), ("0.0001", 1, 1), ("64Mi", 67108864, 67108864000), ("-1500m", -2, -1500)]
)
def test_values_round_away_from_zero(text: str, value: int, milli: int) -> None:
    assert quantity.parse(text).value == value
    assert quantity.parse(text).milli_value == milli


def test_resources_keep_nothing_finer_than_a_thousandth() -> None:
    assert quantity.parse("0.0001").rounded_to_milli().canonical() == "1m"
