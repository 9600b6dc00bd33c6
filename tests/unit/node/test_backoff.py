from __future__ import annotations

from podspace.node.backoff import FORGET_SECONDS, Backoff


def test_the_first_restart_comes_at_once_then_ten_seconds_doubling_to_five_minutes() -> None:
    backoff, at, delays = Backoff(), 0.0, []
    for _ in range(8):
        delays.append(backoff.delay_seconds("c", at))
        at = backoff.until("c", at)
        backoff.advance("c", at)
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_minutes_without_a_failure_forget_the_back_off() -> None:
    backoff = Backoff()
    backoff.advance("c", 0.0)
    assert backoff.delay_seconds("c", FORGET_SECONDS + 1) == 0.0


def test_keys_are_forgotten_by_their_first_part() -> None:
    backoff = Backoff()
    backoff.advance(("pod", "a"), 0.0)
    backoff.advance(("other", "a"), 0.0)
    backoff.forget_where("pod")
    assert backoff.delay_seconds(("pod", "a"), 1.0) == 0.0
    assert backoff.delay_seconds(("other", "a"), 1.0) == 10.0
