"""Channels, terminal sizes and outcomes of remote commands; messages as kubectl and the API server sent them."""

from __future__ import annotations

import json
import random

import pytest

from podspace.wire import remotecommand
from podspace.wire.protocol import ProtocolError
from podspace.wire.remotecommand import Channel
from podspace.wire.streams import TerminalSize


def test_messages_start_with_their_channel() -> None:
    assert remotecommand.encode(remotecommand.V5, Channel.STDOUT, b"hello") == b"\x01hello"
    assert remotecommand.encode(remotecommand.V4, Channel.STDERR, memoryview(b"warn\n")) == b"\x02warn\n"
    assert remotecommand.decode(remotecommand.V5, b"\x00abc\n") == (Channel.STDIN, b"abc\n")
    assert remotecommand.decode(remotecommand.V5, b"\xff\x00") == (Channel.CLOSE, b"\x00")


def test_base64_messages_start_with_a_digit() -> None:
    assert remotecommand.encode(remotecommand.V4_BASE64, Channel.STDOUT, b"hi") == b"1aGk="
    assert remotecommand.decode(remotecommand.V1_BASE64, b"0aGk=") == (Channel.STDIN, b"hi")


@pytest.mark.parametrize(
    ("protocol", "message"), [(remotecommand.V5, b""), (remotecommand.V4_BASE64, b""), (remotecommand.V4_BASE64, b"0?")]
)
def test_a_message_that_makes_no_sense_is_refused(protocol: str, message: bytes) -> None:
    with pytest.raises(ProtocolError):
        remotecommand.decode(protocol, message)


def test_the_clients_preference_decides() -> None:
    offers = [f"{version}.channel.k8s.io" for version in ("v5", "v4", "v3", "v2")] + ["channel.k8s.io"]
    assert remotecommand.negotiate(offers, remotecommand.WEBSOCKET_PROTOCOLS) == remotecommand.V5
    assert remotecommand.negotiate(offers, remotecommand.SPDY_PROTOCOLS) == remotecommand.V4
    assert remotecommand.negotiate(["bogus"], remotecommand.SPDY_PROTOCOLS) is None
    assert remotecommand.negotiate([""], remotecommand.WEBSOCKET_PROTOCOLS) == ""


def test_an_exit_code_becomes_the_status_kubectl_looks_for() -> None:
    assert remotecommand.exit_status(0) == {"metadata": {}, "status": "Success"}
    status = remotecommand.exit_status(3)
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}


def test_a_failure_becomes_an_internal_error() -> None:
    status = remotecommand.internal_error("error executing command in container: boom")
    assert status["message"] == "Internal error occurred: error executing command in container: boom"
    assert (status["reason"], status["code"]) == ("InternalError", 500)


def test_old_protocols_get_a_bare_message_and_nothing_for_success() -> None:
    assert remotecommand.encode_status(remotecommand.V3, remotecommand.exit_status(0)) == b""
    assert remotecommand.encode_status(remotecommand.UNNAMED, remotecommand.internal_error("x")) == b"Internal error occurred: x"
    assert json.loads(remotecommand.encode_status(remotecommand.V4, remotecommand.exit_status(0))) == {"metadata": {}, "status": "Success"}


def test_sizes_come_in_pieces_and_together() -> None:
    decoder = remotecommand.ResizeDecoder()
    assert decoder.feed(b'{"Width":80,"Height":24}\n') == [TerminalSize(80, 24)]
    assert decoder.feed(b'{"Width":81,') == []
    assert decoder.feed(b'"Height":25}\n{"Width":82,"Height":26}') == [TerminalSize(81, 25), TerminalSize(82, 26)]


@pytest.mark.parametrize(
    "junk", [b"hello\n", b"[1]\n", b'{"Width":-1,"Height":70000}\n', b'{"Width":"80"}\n', b"[" * 5000, b"{" + b" " * 5000, b"\xff\xfe\n"]
)
def test_what_is_no_size_is_dropped_and_the_next_one_counts(junk: bytes) -> None:
    decoder = remotecommand.ResizeDecoder()
    assert decoder.feed(junk) == []
    assert decoder.feed(b'{"Width":80,"Height":24}\n') == [TerminalSize(80, 24)]


def test_random_bytes_never_raise_on_the_resize_channel() -> None:
    source = random.Random(3)
    decoder = remotecommand.ResizeDecoder()
    for _ in range(2000):
        decoder.feed(bytes(source.choice(b'{}[]":,0123456789WidthHeight \n\xff') for _ in range(source.randrange(20))))
