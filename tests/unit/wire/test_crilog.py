"""Container logs: reading, filtering and finding their tail."""

from __future__ import annotations

import io
import random

import pytest

from podspace.wire import crilog
from podspace.wire.logoptions import LogOptions

LOG = (
    b"2016-10-06T00:17:09.669794202Z stdout F first\n"
    b"2016-10-06T00:17:10.000000001Z stderr F second\n"
    b"2016-10-06T00:17:11.5Z stdout P thi\n"
    b"2016-10-06T00:17:12.113242941Z stdout F rd\n"
)
SECOND = 1_000_000_000
FIRST_NANOS = 1475713029 * SECOND + 669794202


def render(log: bytes, **options: object) -> bytes:
    return crilog.Renderer(**options).feed(log)  # type: ignore[arg-type]  # the parametrised tests pass any of them


def test_a_record_is_read() -> None:
    record = crilog.parse(b"2016-10-06T00:17:09.669794202Z stdout F log content  1\n")
    assert record == crilog.Record(FIRST_NANOS, b"2016-10-06T00:17:09.669794202Z", b"stdout", False, b"log content  1")


def test_conmons_local_time_is_the_same_instant() -> None:
    record = crilog.parse(b"2016-10-06T02:17:09.669794202+02:00 stderr P x")
    assert record is not None
    assert (record.nanos, record.partial, record.stream) == (FIRST_NANOS, True, b"stderr")
    utc = crilog.parse(b"2016-10-06T00:17:09.669794202+00:00 stdout F x")
    assert utc is not None
    assert utc.timestamp == b"2016-10-06T00:17:09.669794202Z"


def test_more_tags_may_follow_the_first_one_and_content_may_be_empty() -> None:
    record = crilog.parse(b"2016-10-06T00:17:09Z stdout P:TAG ")
    assert record is not None
    assert (record.partial, record.content, record.timestamp) == (True, b"", b"2016-10-06T00:17:09.000000000Z")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"2016 stdout F x",
        b"2016-10-06T00:17:09Z stdin F x",
        b"2016-13-06T00:17:09Z stdout F x",
        b"2016-10-06 00:17:09Z stdout F x",
        b"2016-10-06T00:17:09.1 stdout F x",
        b"2016-10-06T00:17:09+2 stdout F x",
        b"\xff" * 40 + b" stdout F x",
        b"2016-10-06T00:17:09Z stdout",
    ],
)
def test_what_is_no_record_is_skipped(line: bytes) -> None:
    assert crilog.parse(line) is None
    assert render(line + b"\n" + LOG) == b"first\nsecond\nthird\n"


def test_what_is_written_is_read() -> None:
    line = crilog.format_record(FIRST_NANOS, "stderr", b"a b", partial=True)
    assert line == b"2016-10-06T00:17:09.669794202Z stderr P a b\n"
    record = crilog.parse(line)
    assert record is not None
    assert record.nanos == FIRST_NANOS


def test_partial_lines_are_joined_under_the_first_timestamp() -> None:
    assert render(LOG) == b"first\nsecond\nthird\n"
    assert render(LOG, timestamps=True) == (
        b"2016-10-06T00:17:09.669794202Z first\n2016-10-06T00:17:10.000000001Z second\n2016-10-06T00:17:11.500000000Z third\n"
    )


def test_since_limit_and_stream_select() -> None:
    assert render(LOG, since_nanos=FIRST_NANOS + 1) == b"second\nthird\n"
    assert render(LOG, since_nanos=FIRST_NANOS) == b"first\nsecond\nthird\n"
    assert render(LOG, stream="stderr") == b"second\n"
    assert render(LOG, limit_bytes=8) == b"first\nse"


def test_the_limit_counts_across_pieces_and_ends_it() -> None:
    renderer = crilog.Renderer(limit_bytes=8)
    assert renderer.feed(LOG[:60]) == b"first\n"
    assert not renderer.done
    assert renderer.feed(LOG[60:]) == b"se"
    assert renderer.done
    assert renderer.feed(LOG) == b""


def test_pieces_of_one_byte_give_the_same_text() -> None:
    renderer = crilog.Renderer()
    assert b"".join(renderer.feed(LOG[index : index + 1]) for index in range(len(LOG))) == b"first\nsecond\nthird\n"


def test_a_clients_options_are_understood() -> None:
    now = FIRST_NANOS / SECOND + 1
    assert crilog.Renderer.of(LogOptions(since_seconds=1, limit_bytes=9), now=now).feed(LOG) == b"second\nth"
    assert crilog.Renderer.of(LogOptions(since_time=1475713031.0), now=now).feed(LOG) == b"third\n"
    assert crilog.Renderer.of(LogOptions(timestamps=True), now=now).feed(LOG[:48]) == LOG[:30] + b" first\n"


@pytest.mark.parametrize(
    ("lines", "text"), [(0, b""), (1, b"third\n"), (2, b"second\nthird\n"), (3, b"first\nsecond\nthird\n"), (9, b"first\nsecond\nthird\n")]
)
def test_the_tail_counts_joined_lines(lines: int, text: bytes) -> None:
    assert render(LOG[crilog.tail_offset(io.BytesIO(LOG), lines) :]) == text


def test_the_tail_of_an_unfinished_line_counts_it() -> None:
    log = LOG + b"2016-10-06T00:17:13Z stdout P four\n"
    assert render(log[crilog.tail_offset(io.BytesIO(log), 1) :]) == b"four"
    assert render(log[crilog.tail_offset(io.BytesIO(log), 2) :]) == b"third\nfour"


def test_the_tail_of_nothing_is_nothing() -> None:
    assert crilog.tail_offset(io.BytesIO(b""), 5) == 0


def test_the_tail_is_the_same_whatever_the_blocks_cut() -> None:
    source = random.Random(4)
    for _ in range(30):
        texts = [source.randbytes(source.choice((0, 1, 50, 9000))).replace(b"\n", b"\r") for _ in range(source.randrange(1, 60))]
        log = b"".join(crilog.format_record(FIRST_NANOS, "stdout", text) for text in texts)
        wanted = source.randrange(1, 70)
        shown = render(log[crilog.tail_offset(io.BytesIO(log), wanted) :])
        assert shown == b"".join(text + b"\n" for text in texts[-wanted:])


def test_the_tail_of_a_large_log_reads_only_its_end() -> None:
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    file = Counting(LOG * 20_000)
    offset = crilog.tail_offset(file, 9)
    assert offset == len(LOG) * 19_997
    assert file.read_bytes <= 128 * 1024


def test_random_bytes_never_raise() -> None:
    source = random.Random(6)
    renderer = crilog.Renderer(timestamps=True, since_nanos=1)
    for _ in range(2000):
        renderer.feed(bytes(source.choice(b"0123456789-T:.Z+ stdoutF\nP\xff") for _ in range(60)))


def test_the_tail_of_an_endless_line_is_looked_for_only_so_far_back() -> None:
    log = b"".join(crilog.format_record(FIRST_NANOS, "stdout", b"x" * 1000, partial=True) for _ in range(1000))
    reach = 100_000
    offset = crilog.tail_offset(io.BytesIO(log), 1, reach_bytes=reach)
    assert len(log) - reach - 2000 < offset < len(log) - reach + 2000
    assert crilog.parse(log[offset:].split(b"\n", 1)[0]) is not None
    assert crilog.tail_offset(io.BytesIO(log), 1) == 0
