"""doctor, serve's refusal, and the lines of image: what does not need a server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from podspace import errors
from podspace.cli import checks, doctor, image, main
from podspace.image import model

FAIL = checks.Check(level=checks.Level.FAIL, name="conmon", text="not found", remedy="apt install conmon")
OK = checks.Check(level=checks.Level.OK, name="root", text="root")


def podspace(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["podspace", *words])
    return main.main()


def answer(monkeypatch: pytest.MonkeyPatch, *found: checks.Check) -> None:
    monkeypatch.setattr(checks, "run", lambda _: iter(found))


def test_a_line_says_level_name_and_remedy() -> None:
    assert doctor.line(FAIL) == "fail  conmon: not found -> apt install conmon"
    assert doctor.line(OK, coloured=True) == "\x1b[32mok  \x1b[0m  root: root"


def test_the_exit_code_says_whether_something_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, OK)
    assert podspace(monkeypatch, "doctor") == 0
    answer(monkeypatch, OK, FAIL)
    assert podspace(monkeypatch, "doctor") == 1
    assert "apt install conmon" in capsys.readouterr().out


def test_serve_refuses_an_unfit_machine_with_the_failing_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, OK, FAIL)
    assert podspace(monkeypatch, "serve") == 1
    assert capsys.readouterr().err == "error: this machine cannot run Pods yet:\nfail  conmon: not found -> apt install conmon\n"


def test_without_root_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert podspace(monkeypatch, "doctor") == 1
    assert capsys.readouterr().out == "fail  root: this is not root -> run it as root: sudo podspace ...\n"


def test_what_a_child_is_refused_is_told() -> None:
    def refused() -> None:
        raise PermissionError(1, "Operation not permitted", "overlay")

    assert checks.in_child(lambda: None) == ""
    assert checks.in_child(refused) == "Operation not permitted (overlay)"


class FakeImages:
    """Two images, and a memory."""

    def __init__(self, _: object) -> None:
        self.found = [
            model.Image(
                id="sha256:" + "a" * 64,
                repo_tags=("docker.io/library/nginx:1", "localhost:5000/n:2"),
                size_bytes=12_345_678,
                config=model.ImageConfig(),
                layers=(),
                created="2026-01-01T00:00:00Z",
            ),
            model.Image(id="sha256:" + "b" * 64, size_bytes=999, config=model.ImageConfig(), layers=()),
        ]

    async def pull(self, reference: str, **_: Any) -> model.Image:
        if reference == "nope":
            raise errors.NotFound("docker.io/library/nope:latest: not found")
        return self.found[0]

    async def load(self, path: Path, **_: Any) -> list[model.Image]:
        return self.found[:1]

    def list(self) -> Sequence[model.Image]:
        return self.found

    async def remove(self, reference: str, *, in_use: Sequence[str] = ()) -> tuple[str, ...]:
        return ("docker.io/library/nginx:1", "sha256:" + "a" * 64)


@pytest.fixture(autouse=True)
def _fake_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podspace.image.service.Images", FakeImages)


def test_images_are_listed_a_line_for_each_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert podspace(monkeypatch, "image", "ls") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["NAME", "TAG", "ID", "AGE", "SIZE"]
    assert rows[1][:3] == ["docker.io/library/nginx", "1", "a" * 12]
    assert rows[2][:2] == ["localhost:5000/n", "2"]
    assert rows[3] == ["<none>", "<none>", "b" * 12, "<unknown>", "999B"]


def test_pull_load_and_rm_say_what_they_did(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert podspace(monkeypatch, "image", "pull", "nginx:1") == 0
    assert podspace(monkeypatch, "image", "load", "-q", "x.tar") == 0
    assert podspace(monkeypatch, "image", "rm", "nginx:1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Pulled image: docker.io/library/nginx:1",
        "sha256:" + "a" * 64,
        "Untagged: docker.io/library/nginx:1",
        "Deleted: sha256:" + "a" * 64,
    ]


def test_a_registrys_refusal_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert podspace(monkeypatch, "image", "pull", "nope") == 1
    assert capsys.readouterr().err == "error: docker.io/library/nope:latest: not found\n"


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (999, "999B"), (12_345_678, "12.3MB"), (1_000_000_000, "1GB")])
def test_sizes_are_short(size: int, text: str) -> None:
    assert image.human_size(size) == text


FORWARD = """\
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy %s;
		%s
	}

	chain OTHER {
		iifname "podspace0" accept
	}
}
"""


@pytest.mark.parametrize(
    ("policy", "rule", "drops"),
    [
        ("drop", "", True),
        ("accept", "", False),
        ("drop", 'iifname "podspace0" counter packets 0 bytes 0 accept', False),
        ("drop", 'iifname "docker0" counter packets 0 bytes 0 accept', True),
    ],
)
def test_a_machine_that_drops_what_is_forwarded_is_noticed(policy: str, rule: str, drops: bool) -> None:
    assert checks.drops_forwarded(FORWARD % (policy, rule), "podspace0") is drops
    assert not checks.drops_forwarded("", "podspace0")
