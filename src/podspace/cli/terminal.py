"""The user's terminal while a remote one is shown in it: raw mode, and its size when it changes. Used by ``remote`` for ``-t``.

Source: termios(3), ioctl_tty(2) TIOCGWINSZ, signal(7) SIGWINCH.
"""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def is_terminal(descriptor: int) -> bool:
    return os.isatty(descriptor)


def size(descriptor: int) -> tuple[int, int]:
    """Columns and rows; 80x24 for a terminal that does not know."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        columns, rows = 0, 0
    return columns or 80, rows or 24


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Every key goes to the other side, Ctrl-C too; as it was afterwards, also when we are told to end."""
    import signal
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def resizes() -> Iterator[int]:
    """A descriptor that becomes readable when the size changes; read it empty."""
    import signal

    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    previous_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    previous = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        yield reading
    finally:
        signal.signal(signal.SIGWINCH, previous)
        signal.set_wakeup_fd(previous_wakeup)
        os.close(reading)
        os.close(writing)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
