"""Which streams of a port-forward belong together."""

from __future__ import annotations

import pytest

from podspace.wire import portforward
from podspace.wire.protocol import ProtocolError


def half(stream_id: int, kind: str, request_id: str, port: str = "80") -> portforward.Half:
    return portforward.parse(stream_id, {"streamtype": kind, "port": port, "requestid": request_id})


def test_streams_of_two_requests_pair_by_request_id() -> None:
    pairing = portforward.Pairing()
    assert pairing.add(half(1, "error", "0")) is None
    assert pairing.add(half(3, "error", "1")) is None
    assert pairing.add(half(5, "data", "0")) == portforward.Pair(request_id="0", port=80, data_stream=5, error_stream=1)
    assert pairing.add(half(7, "data", "1")) == portforward.Pair(request_id="1", port=80, data_stream=7, error_stream=3)


def test_the_data_stream_may_come_first() -> None:
    pairing = portforward.Pairing()
    assert pairing.add(half(1, "data", "0")) is None
    assert pairing.add(half(3, "error", "0")) == portforward.Pair(request_id="0", port=80, data_stream=1, error_stream=3)


def test_without_request_ids_the_error_streams_number_counts() -> None:
    pairing = portforward.Pairing()
    assert pairing.add(portforward.parse(1, {"streamtype": "error", "port": "80"})) is None
    assert pairing.add(portforward.parse(3, {"streamtype": "data", "port": "80"})) is not None


def test_a_request_id_is_free_again_after_its_pair() -> None:
    pairing = portforward.Pairing()
    for first in (1, 5):
        pairing.add(half(first, "error", "0"))
        assert pairing.add(half(first + 2, "data", "0")) is not None


def test_a_second_stream_of_the_same_kind_is_refused() -> None:
    pairing = portforward.Pairing()
    pairing.add(half(1, "error", "0"))
    with pytest.raises(ProtocolError, match="already assigned"):
        pairing.add(half(3, "error", "0"))


def test_a_half_that_is_given_up_is_gone() -> None:
    pairing = portforward.Pairing()
    pairing.add(half(1, "error", "0"))
    assert pairing.give_up("0") is not None
    assert pairing.give_up("0") is None


def test_lonely_streams_are_not_collected_for_ever() -> None:
    pairing = portforward.Pairing()
    for number in range(portforward.MAX_UNPAIRED):
        pairing.add(half(1 + 2 * number, "error", str(number)))
    with pytest.raises(ProtocolError, match="too many"):
        pairing.add(half(99999, "error", "x"))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, '"streamType" header is required'),
        ({"streamtype": "stdin", "port": "80"}, 'invalid stream type "stdin"'),
        ({"streamtype": "data"}, '"port" header is required'),
        ({"streamtype": "data", "port": "http"}, 'unable to parse "http" as a port'),
        ({"streamtype": "data", "port": "65536"}, 'unable to parse "65536" as a port'),
        ({"streamtype": "data", "port": "9" * 5000}, "unable to parse"),
        ({"streamtype": "data", "port": "٣"}, "unable to parse"),
        ({"streamtype": "data", "port": "0"}, 'port "0" must be > 0'),
    ],
)
def test_headers_that_make_no_sense_are_refused(headers: dict[str, str], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        portforward.parse(1, headers)
