"""Last words: how much of a message file and of a log is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from podspace.node import messages
from tests.unit.node.builders import container, pod


def logged(tmp_path: Path, *lines: str) -> Path:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "0.log"
    path.write_text("".join(f"2026-01-01T00:00:00.000000000Z stdout F {line}\n" for line in lines))
    return path


def message(tmp_path: Path, policy: str, *, code: int, file: str = "", log: tuple[str, ...] = ()) -> str:
    given = pod({"containers": [{"name": "a", "image": "x", "terminationMessagePolicy": policy}]})
    status = dataclasses.replace(container("a", exit_code=code), log_path=logged(tmp_path, *log))
    path = messages.message_file(tmp_path, given, "a", 0)
    path.parent.mkdir(parents=True)
    path.write_text(file)
    return messages.termination_message(tmp_path, given, given.containers[0], status)


@pytest.mark.parametrize(
    ("policy", "code", "file", "told"),
    [
        ("File", 1, "", ""),
        ("File", 1, "said", "said"),
        ("FallbackToLogsOnError", 1, "", "logged\n"),
        ("FallbackToLogsOnError", 1, "said", "said"),
        ("FallbackToLogsOnError", 0, "", ""),
    ],
)
def test_the_log_speaks_for_who_failed_without_a_word(tmp_path: Path, policy: str, code: int, file: str, told: str) -> None:
    assert message(tmp_path, policy, code=code, file=file, log=("logged",)) == told


def test_of_a_file_the_last_four_kilobytes_are_told(tmp_path: Path) -> None:
    assert message(tmp_path, "File", code=0, file="y" * 1000 + "x" * 4096) == "x" * 4096


def test_of_a_log_the_last_eighty_lines_are_told_and_at_most_two_kilobytes(tmp_path: Path) -> None:
    lines = message(tmp_path / "many", "FallbackToLogsOnError", code=1, log=tuple(f"line {n}" for n in range(200)))
    assert lines.splitlines() == [f"line {n}" for n in range(120, 200)]
    long = message(tmp_path / "long", "FallbackToLogsOnError", code=1, log=("y" * 1500, "z" * 1500))
    assert long == "y" * (2048 - 1502) + "\n" + "z" * 1500 + "\n"


def test_no_character_is_cut_in_two() -> None:
    assert messages.shorten("aää", 4) == "aä"
    assert messages.shorten("aä", 4) == "aä"
