"""One server for each test module, and ``cli``: the command in this process, with what it printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from podspace.cli import main
from tests.unit.cli import machine as machine_module


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[machine_module.Machine]:
    with machine_module.running(tmp_path_factory.mktemp("m")) as running:
        yield running


@pytest.fixture
def cli(machine: machine_module.Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run ``podspace`` with these words. Standard input is empty."""
    monkeypatch.setenv("KUBECONFIG", str(machine.kubeconfig))
    monkeypatch.setenv("TZ", "UTC")

    def run(*words: str, kubeconfig: Path | None = None) -> Said:
        more = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        before = words.index("--") if "--" in words else len(words)
        monkeypatch.setattr(sys, "argv", ["podspace", *words[:before], *more, *words[before:]])
        code = main.main()
        captured = capfd.readouterr()
        return Said(code, captured.out, captured.err)

    return run
