"""Text that a container chose, made fit for a terminal.

A process names itself, its arguments and its files as it likes: with escape sequences that repaint the screen, line breaks that fake
a row, marks that turn the direction of writing. Called by whoever prints such text (``cli``). Pure, and quick to import.
"""

from __future__ import annotations


def escaped(text: str) -> str:
    """Every character that is not printable as ``\\x1b`` or ``\\u202e``; a backslash is doubled, so that nothing can pretend."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (surrogateescape)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decoded(raw: bytes) -> str:
    """Bytes of a container as text that every JSON encoder takes: what is not UTF-8 becomes ``\\xff`` in letters."""
    return raw.decode(errors="backslashreplace")
