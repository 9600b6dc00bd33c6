"""SPDY framing, byte by byte; the long literals were recorded from real kubectl 1.32."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from podspace.wire import spdy, spdy_headers
from podspace.wire.protocol import ProtocolError

KUBECTL_EXEC = bytes.fromhex(
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff"
    "800300010000001700000003000000000000c22e555c92929907000000ffff800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff"
    "800300010000001500000007000000000000c229975a5404000000ffff000000030000000368690a0000000301000000"
    "8003000300000008000000070000000580030003000000080000000100000005800300030000000800000003000000058003000300000008000000050000"
    "000580030007000000080000000000000000"
)
KUBECTL_EXEC_FRAMES: list[spdy.Frame] = [
    spdy.SynStream(stream_id=1, headers={"streamtype": "error"}),
    spdy.SynStream(stream_id=3, headers={"streamtype": "stdin"}),
    spdy.SynStream(stream_id=5, headers={"streamtype": "stdout"}),
    spdy.SynStream(stream_id=7, headers={"streamtype": "stderr"}),
    spdy.Data(stream_id=3, data=b"hi\n"),
    spdy.Data(stream_id=3, fin=True),
    spdy.Reset(stream_id=7, status=spdy.ResetStatus.CANCEL),
    spdy.Reset(stream_id=1, status=spdy.ResetStatus.CANCEL),
    spdy.Reset(stream_id=3, status=spdy.ResetStatus.CANCEL),
    spdy.Reset(stream_id=5, status=spdy.ResetStatus.CANCEL),
    spdy.GoAway(last_stream_id=0, status=0),
]


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    assert len(spdy_headers.DICTIONARY) == 1423
    assert zlib.adler32(spdy_headers.DICTIONARY) == 0xE3C6A7C2  # as every SPDY/3 header stream names it


def test_a_session_of_real_kubectl_is_understood() -> None:
    assert spdy.Decoder().feed(KUBECTL_EXEC) == KUBECTL_EXEC_FRAMES


def test_pieces_of_one_byte_give_the_same_frames() -> None:
    decoder = spdy.Decoder()
    frames = [frame for byte in KUBECTL_EXEC for frame in decoder.feed(bytes((byte,)))]
    payload = b"".join(frame.data for frame in frames if isinstance(frame, spdy.Data))
    assert payload == b"hi\n"
    assert [frame for frame in frames if not isinstance(frame, spdy.Data)] == [
        frame for frame in KUBECTL_EXEC_FRAMES if not isinstance(frame, spdy.Data)
    ]


def test_every_frame_has_the_bytes_of_the_draft() -> None:
    encoder = spdy.Encoder()
    assert encoder.data(3, b"hi\n") == bytes.fromhex("00000003 00000003 68690a")
    assert encoder.data(5, b"", fin=True) == bytes.fromhex("00000005 01000000")
    assert encoder.reset(7, spdy.ResetStatus.CANCEL) == bytes.fromhex("80030003 00000008 00000007 00000005")
    assert encoder.ping(2) == bytes.fromhex("80030006 00000004 00000002")
    assert encoder.goaway(7) == bytes.fromhex("80030007 00000008 00000007 00000000")
    assert encoder.goaway(0, spdy.GoAwayStatus.PROTOCOL_ERROR) == bytes.fromhex("80030007 00000008 00000000 00000001")
    assert encoder.window_update(1, 65536) == bytes.fromhex("80030009 00000008 00000001 00010000")


def test_the_replies_are_those_that_kubectl_accepted() -> None:
    encoder = spdy.Encoder()
    assert encoder.syn_reply(1) == bytes.fromhex("80030002 00000014 00000001 78bbe3c6a7c202a6230600000000ffff")
    assert encoder.syn_reply(3) == bytes.fromhex("80030002 0000000c 00000003 020100000000ffff")


def test_what_is_encoded_is_decoded() -> None:
    encoder, decoder = spdy.Encoder(), spdy.Decoder()
    headers = {"streamtype": "data", "port": "80", "requestid": "0"}
    wire = (
        encoder.syn_stream(1, headers) + encoder.syn_reply(1, {"x": "ü"}, fin=True) + encoder.syn_stream(3, {}, fin=True) + encoder.ping(1)
    )
    assert decoder.feed(wire) == [
        spdy.SynStream(stream_id=1, headers=headers),
        spdy.SynReply(stream_id=1, headers={"x": "ü"}, fin=True),
        spdy.SynStream(stream_id=3, fin=True),
        spdy.Ping(ping_id=1),
    ]


def test_settings_windows_and_unknown_control_frames_do_no_harm() -> None:
    wire = bytes.fromhex("80030004 0000000c 00000001 00000007 00010000") + spdy.Encoder.window_update(1, 9)
    wire += bytes.fromhex("8003000b 00000003 aabbcc") + spdy.Encoder.ping(3)
    assert spdy.Decoder().feed(wire) == [spdy.Settings(), spdy.WindowUpdate(stream_id=1, delta=9), spdy.Ping(ping_id=3)]


def test_a_large_data_frame_comes_out_in_pieces_as_it_arrives() -> None:
    decoder = spdy.Decoder()
    assert decoder.feed(struct.pack(">II", 1, 1 << 24 | 10)) == []
    assert decoder.feed(b"12345") == [spdy.Data(stream_id=1, data=b"12345")]
    assert decoder.feed(b"67890" + spdy.Encoder.ping(1)) == [spdy.Data(stream_id=1, data=b"67890", fin=True), spdy.Ping(ping_id=1)]


def test_header_names_become_lower_case() -> None:
    assert spdy.Decoder().feed(spdy.Encoder().syn_stream(1, {"StreamType": "Error"})) == [
        spdy.SynStream(stream_id=1, headers={"streamtype": "Error"})
    ]


def _with_block(block: bytes) -> bytes:
    return struct.pack(">IIIIH", 0x80030001, 10 + len(block), 1, 0, 0) + block


def _deflated(plain: bytes) -> bytes:
    deflate = zlib.compressobj(zdict=spdy_headers.DICTIONARY)
    return deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH)


def _finished(plain: bytes) -> bytes:
    deflate = zlib.compressobj(zdict=spdy_headers.DICTIONARY)
    return deflate.compress(plain) + deflate.flush()


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(bytes.fromhex("80020001 00000000"), id="SPDY/2"),
        pytest.param(bytes.fromhex("80030001 00ffffff"), id="a control frame of 16 MB"),
        pytest.param(bytes.fromhex("00000000 00000001 00"), id="data on stream 0"),
        pytest.param(bytes.fromhex("80030003 00000008 00000000 00000001"), id="reset of stream 0"),
        pytest.param(bytes.fromhex("80030003 00000004 00000001"), id="a reset without status"),
        pytest.param(bytes.fromhex("80030006 00000000"), id="an empty ping"),
        pytest.param(bytes.fromhex("80030007 00000004 00000001"), id="a short goaway"),
        pytest.param(bytes.fromhex("80030001 00000004 00000001"), id="a short syn_stream"),
        pytest.param(bytes.fromhex("80030002 00000004 00000001"), id="a reply without headers"),
        pytest.param(_with_block(b"garbage"), id="headers that are not deflate"),
        pytest.param(_with_block(zlib.compress(b"\0\0\0\0")), id="headers deflated without the dictionary"),
        pytest.param(_with_block(_deflated(b"\0\0")), id="headers cut short"),
        pytest.param(_with_block(_deflated(b"\xff\xff\xff\xff")), id="four billion headers"),
        pytest.param(_with_block(_deflated(b"\0\0\0\1\0\0\0\1a\xff\xff\xff\xff")), id="a value of four gigabytes"),
        pytest.param(_with_block(_deflated(b"\0\0\0\2" + 2 * b"\0\0\0\1a\0\0\0\0")), id="a header twice"),
        pytest.param(_with_block(_deflated(b"\0\0\0\1\0\0\0\0\0\0\0\0")), id="a header without name"),
        pytest.param(_with_block(_deflated(b"\0\0\0\0tail")), id="bytes after the headers"),
        pytest.param(_with_block(_deflated(b"\0\0\0\1\0\0\0\1a\0\xff\xff\xff" + bytes(0xFFFFFF))), id="a deflate bomb"),
        pytest.param(_with_block(_finished(b"\0\0\0\0")), id="the end of the deflate stream"),
    ],
)
def test_what_is_not_spdy_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        spdy.Decoder().feed(wire)


def test_half_a_frame_is_waited_for() -> None:
    decoder = spdy.Decoder()
    assert decoder.feed(b"\x80\x03") == []
    assert decoder.feed(b"\x00\x06\x00\x00\x00\x04\x00\x00\x00") == []
    assert decoder.feed(b"\x05") == [spdy.Ping(ping_id=5)]


def test_random_bytes_never_do_worse_than_a_protocol_error() -> None:
    source = random.Random(7)
    for _ in range(3000):
        decoder = spdy.Decoder()
        try:
            for _ in range(4):
                decoder.feed(source.randbytes(source.randrange(64)))
        except ProtocolError:
            pass


def test_damaged_sessions_never_do_worse_than_a_protocol_error() -> None:
    source = random.Random(8)
    for _ in range(2000):
        wire = bytearray(KUBECTL_EXEC)
        for _ in range(source.randrange(1, 6)):
            wire[source.randrange(len(wire))] = source.randrange(256)
        cut = source.randrange(len(wire))
        decoder = spdy.Decoder()
        try:
            decoder.feed(bytes(wire[:cut]))
            decoder.feed(bytes(wire[cut:]))
        except ProtocolError:
            pass
