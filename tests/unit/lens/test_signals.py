"""Whom a signal is for, and what becomes of it."""

from __future__ import annotations

import signal

import pytest

from podspace import errors
from podspace.lens import model, signals
from tests.unit.lens import census


def meant(container: str = "", process: str = "", *, even_pause: bool = False) -> list[int]:
    wanted = signals.Wanted(number=1, container=container, process=process, even_pause=even_pause)
    return [each.pod_pid for each in signals.targets(census.SHARED, wanted)]


def test_the_main_process_is_meant_unless_another_is_named() -> None:
    assert meant("nginx") == [8]
    assert meant("nginx", "14") == [14]
    assert meant("nginx", "nginx") == [8, 14]


def test_a_container_must_be_named_if_there_are_several() -> None:
    with pytest.raises(errors.BadRequest, match=r"choose one of: \[nginx shell\]"):
        meant()


def test_a_neighbours_process_is_not_hit_by_its_number() -> None:
    with pytest.raises(errors.NotFound, match="process 15 is not of container nginx but of shell"):
        meant("nginx", "15")


@pytest.mark.parametrize(("container", "process"), [("nginx", "1"), (model.PAUSE, "")])
def test_pause_is_spared_unless_told(container: str, process: str) -> None:
    with pytest.raises(errors.Forbidden, match="this is /pause"):
        meant(container, process)
    assert meant(container, process, even_pause=True) == [1]


def test_a_zombie_is_nobody() -> None:
    dead = census.process("nginx", 20, name="gone", state="Z")
    with pytest.raises(errors.NotFound):
        signals.targets(census.census(census.MASTER, dead), signals.Wanted(number=1, container="nginx", process="gone"))


@pytest.mark.parametrize(("name", "number"), [("HUP", 1), ("sigterm", 15), ("9", 9), ("SIGRTMIN+3", 37), ("rtmin", 34)])
def test_signals_have_names_and_numbers(name: str, number: int) -> None:
    assert signals.signal_number(name) == number


@pytest.mark.parametrize("name", ["", "0", "65", "NOPE", "TERM+1", "RTMIN+99", "SIG_DFL", "-9"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    with pytest.raises(errors.BadRequest, match="is not a signal"):
        signals.signal_number(name)


def test_the_outcome_is_what_the_kernel_does_with_it() -> None:
    handled, ignored, blocked = {"SigCgt": "1"}, {"SigIgn": "1"}, {"SigBlk": "1"}
    assert signals.outcome(handled, 1, init=True) == "Delivered"
    assert signals.outcome({}, 1, init=True) == "Ignored"
    assert signals.outcome({}, 1, init=False) == "Delivered"
    assert signals.outcome(ignored, 1, init=False) == "Ignored"
    assert signals.outcome(blocked, 1, init=False) == "Blocked"
    assert signals.outcome(ignored, signal.SIGKILL, init=True) == "Delivered"
