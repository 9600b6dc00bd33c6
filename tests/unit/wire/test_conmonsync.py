"""conmon's pipes, as its sources write and read them."""

from __future__ import annotations

import contextlib
import random

import pytest

from podspace.wire import conmonsync
from podspace.wire.conmonsync import Sync
from podspace.wire.protocol import ProtocolError
from podspace.wire.streams import TerminalSize


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"pid": 4711}\n', Sync(value=4711)),
        (b'{"data": 4711}\n', Sync(value=4711)),
        (b'{"exit_code": 0}\n', Sync(value=0)),
        (b'{"data": -1, "message": "command timed out"}\n', Sync(value=-1, message="command timed out")),
        (b'{"pid": -1, "message": "exec: \\"x\\": not found\\n"}\n', Sync(value=-1, message='exec: "x": not found\n')),
        (b'{"pid": -1, "message": "raw \x1f and \xff"}\n', Sync(value=-1, message="raw \x1f and \ufffd")),
    ],
)
def test_a_line_of_the_sync_pipe_is_read(line: bytes, expected: Sync) -> None:
    assert conmonsync.SyncDecoder().feed(line) == [expected]


def test_lines_come_in_pieces_and_together() -> None:
    decoder = conmonsync.SyncDecoder()
    assert decoder.feed(b'{"da') == []
    assert decoder.incomplete
    assert decoder.feed(b'ta": 7}\n{"data": 0}\n') == [Sync(value=7), Sync(value=0)]
    assert not decoder.incomplete


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[]\n", b"{}\n", b'{"pid": "1"}\n', b'{"pid": true}\n', b"[" * 100_000 + b"\n", b"x" * 70_000]
)
def test_what_conmon_does_not_say_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        conmonsync.SyncDecoder().feed(line)


def test_random_bytes_never_do_worse_than_a_protocol_error() -> None:
    source = random.Random(5)
    for _ in range(2000):
        with contextlib.suppress(ProtocolError):
            conmonsync.SyncDecoder().feed(bytes(source.choice(b'{}[]":, \n0123456789pidata\xff\x00') for _ in range(40)))


def test_output_packets_name_their_stream() -> None:
    assert conmonsync.parse_output(b"\x02out") == (conmonsync.Pipe.STDOUT, memoryview(b"out"))
    assert conmonsync.parse_output(b"\x03err") == (conmonsync.Pipe.STDERR, memoryview(b"err"))
    assert conmonsync.parse_output(b"") is None
    with pytest.raises(ProtocolError):
        conmonsync.parse_output(b"\x01x")


def test_stdin_is_cut_into_packets_conmon_reads_whole() -> None:
    packets = conmonsync.stdin_packets(b"x" * 70_000)
    assert [len(packet) for packet in packets] == [32768, 32768, 4464]
    assert conmonsync.stdin_packets(b"") == []


def test_the_ctl_fifo_gets_rows_before_columns_and_no_number_it_refuses() -> None:
    assert conmonsync.resize_line(TerminalSize(width=80, height=24)) == b"1 24 80\n"
    assert conmonsync.resize_line(TerminalSize(width=65535, height=0)) == b"1 0 1000\n"
    assert conmonsync.reopen_log_line() == b"2 0 0\n"
