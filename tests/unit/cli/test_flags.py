"""Command lines in all of kubectl's forms."""

from __future__ import annotations

import importlib
import shlex
import sys
from pathlib import Path

import pytest

from podspace import settings
from podspace.cli import failure, flags, main, serve, server_flags

FLAGS = (
    flags.Flag("stdin", "i", help="input"),
    flags.Flag("tty", "t"),
    flags.Flag("tail", takes="N", default="-1"),
    flags.Flag("filename", "f", takes="FILE", many=True),
    flags.Flag("dry-run", takes="MODE", default="none", bare="client"),
    flags.Flag("wait", default="true"),
    flags.Flag("since", takes="DURATION"),
    *flags.COMMON,
)


def parse(*words: str) -> flags.Options:
    return flags.parse("test", "Usage.", FLAGS, words)


@pytest.mark.parametrize("words", [("-it",), ("-i", "-t"), ("--stdin", "--tty"), ("--stdin=true", "-t=true")])
def test_switches_join_and_take_values(words: tuple[str, ...]) -> None:
    options = parse(*words)
    assert options.on("stdin")
    assert options.on("tty")


@pytest.mark.parametrize("words", [("-nweb",), ("-n", "web"), ("-n=web",), ("--namespace=web",), ("--namespace", "web"), ("-itn", "web")])
def test_values_stick_or_follow(words: tuple[str, ...]) -> None:
    assert parse(*words).text("namespace") == "web"


def test_flags_and_arguments_mix_until_the_dashes() -> None:
    options = parse("pod", "-i", "x", "--", "ls", "-l", "--", "y")
    assert options.args == ["pod", "x"]
    assert options.rest == ["ls", "-l", "--", "y"]
    assert parse("pod").rest is None


def test_defaults_bare_values_and_repetition() -> None:
    options = parse("--dry-run", "-f", "a", "-f=b", "--wait=false", "-")
    assert options.text("dry-run") == "client"
    assert options.texts("filename") == ["a", "b"]
    assert not options.on("wait")
    assert options.number("tail") == -1
    assert options.args == ["-"]
    assert not options.given("tail")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("1.5m", 90), ("250ms", 0.25), ("7", 7), ("-1", -1), ("0s", 0), ("2d", 172800)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert flags.duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5x", "1h3", "abc"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(failure.Usage, match="expected a duration"):
        parse(f"--since={text}").seconds("since")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nope",), "unknown flag: --nope"),
        (("-ix",), "unknown shorthand flag: 'x' in -ix"),
        (("--tail",), "flag needs an argument: --tail"),
    ],
)
def test_mistakes_are_said_with_where_help_is(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(failure.Usage) as caught:
        parse(*words)
    assert str(caught.value) == f"error: {message}\nSee 'podspace test --help' for usage."


def test_numbers_and_switches_are_checked() -> None:
    with pytest.raises(failure.Usage, match="expected a number"):
        parse("--tail=many").number("tail")
    with pytest.raises(failure.Usage, match="expected true or false"):
        parse("--stdin=maybe").on("stdin")


def test_help_lists_every_flag() -> None:
    with pytest.raises(flags.Help) as caught:
        parse("-h")
    assert "  -i, --stdin" in str(caught.value)
    assert "      --tail=N" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-n", "web", "get", "pods"], ["get", "-n", "web", "pods"]),
        (["--kubeconfig=x", "logs", "p"], ["logs", "--kubeconfig=x", "p"]),
        (["get", "-n", "web"], ["get", "-n", "web"]),
        (["--help"], ["--help"]),
    ],
)
def test_common_flags_may_come_before_the_verb(words: list[str], expected: list[str]) -> None:
    assert main._verb_first(words) == expected


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (["nonsense"], 1, 'unknown command "nonsense"'),
        (["serve", "--listen=nowhere"], 1, "--listen nowhere: expected HOST:PORT"),
        (["image"], 1, "expected load, pull, ls, rm or prune"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(
    words: list[str], code: int, err: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["podspace", *words])
    assert main.main() == code
    assert err in capsys.readouterr().err


def test_every_command_has_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in main.COMMANDS:
        monkeypatch.setattr(sys, "argv", ["podspace", verb, "--help"])
        assert main.main() == 0
        assert f"podspace {verb}" in capsys.readouterr().out


def _examples(verb: str) -> list[list[str]]:
    usage = importlib.import_module(f"podspace.cli.{main.MODULES.get(verb, verb)}").USAGE
    _, _, examples = usage.partition("Examples:\n")
    return [shlex.split(line.partition(" < ")[0], comments=True) for line in examples.splitlines()]


@pytest.mark.parametrize("verb", main.COMMANDS)
def test_every_command_has_examples_that_its_own_flags_can_read(verb: str) -> None:
    module = importlib.import_module(f"podspace.cli.{main.MODULES.get(verb, verb)}")
    assert _examples(verb)
    for program, said, *words in _examples(verb):
        assert (program, said) == ("podspace", verb)
        flags.parse(verb, module.USAGE, module.FLAGS, words)


def serve_settings(*words: str) -> settings.Settings:
    return server_flags.make(flags.parse("serve", "Usage.", serve.FLAGS, words))


def test_the_network_of_a_server_is_what_its_flags_say() -> None:
    told = serve_settings(
        *("--network", "cni", "--cni-conf-dir", "/etc/x", "--cni-bin-dir", "/a:/b", "--pod-cidr", "10.1.0.0/24,fd00::/64"),
        *("--cluster-dns", "192.0.2.53, fd00::53", "--cluster-domain", "c.example.", "--resolv-conf", "/etc/r"),
    )
    assert (told.network, told.cni_conf_dir, told.cni_bin_dirs) == ("cni", Path("/etc/x"), (Path("/a"), Path("/b")))
    assert (told.cluster_dns, told.cluster_domain, told.resolv_conf) == (("192.0.2.53", "fd00::53"), "c.example", Path("/etc/r"))
    plain = serve_settings()
    assert (plain.network, plain.cni_conf_dir, plain.cni_bin_dirs) == ("", None, settings.CNI_BIN_DIRS)
    assert (plain.cluster_dns, plain.cluster_domain, plain.resolv_conf) == ((), "cluster.local", None)


@pytest.mark.parametrize("words", [("--network", "host"), ("--cluster-dns", "somewhere")])
def test_a_network_that_cannot_be_is_a_usage_error(words: tuple[str, str]) -> None:
    with pytest.raises(failure.Usage, match=f'invalid argument "{words[1]}" for "{words[0]}" flag'):
        serve_settings(*words)
