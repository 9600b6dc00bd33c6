"""What a container writes cannot steer the terminal it is shown in."""

from __future__ import annotations

import pytest

from podspace.lens import safetext


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nginx: master", "nginx: master"),
        ("\x1b[2J\r\nroot", "\\x1b[2J\\x0d\\x0aroot"),
        ("a\\x1b", "a\\\\x1b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("Gr\u00fc\u00dfe", "Gr\u00fc\u00dfe"),
        ("\udcff", "\\xff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_not_printable_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert safetext.escaped(text) == shown


def test_bytes_that_are_not_text_can_be_put_into_json() -> None:
    assert safetext.decoded(b"a\xffb") == "a\\xffb"
