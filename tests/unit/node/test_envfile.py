from __future__ import annotations

import pytest

from podspace.node import envfile

FILE = "# a comment\n\n  A='1'\nB='two words' # why\r\nC='x\n  y=$z\n'\nEMPTY= 'no'\nD='#'\nA='again'\n"


@pytest.mark.parametrize(
    ("key", "expected"),
    [("A", "1"), ("B", "two words"), ("C", "x\n  y=$z\n"), ("EMPTY", ""), ("D", "#"), ("NONE", "")],
)
def test_a_key_has_what_is_between_its_quotes(key: str, expected: str) -> None:
    assert envfile.value(FILE, key) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A", "at line 1: missing '='"),
        ("\n='x'", "at line 2: empty variable name"),
        ("A ='x'", "at line 1: whitespace before '=' is not allowed"),
        ("A=x", "at line 1: value must be enclosed in single quotes"),
        ("A='x'y", "at line 1: unexpected content after closing quote"),
        ("A='\nx'y", "at line 2: unexpected content after closing quote"),
        ("A='x\ny", "starting at line 1: unclosed single quote"),
    ],
)
def test_what_is_not_of_that_form_is_told_by_line(text: str, message: str) -> None:
    with pytest.raises(envfile.BadLine, match=message):
        envfile.value(text, "B")


def test_what_comes_after_the_key_does_not_matter() -> None:
    assert envfile.value("A='1'\nrubbish", "A") == "1"
