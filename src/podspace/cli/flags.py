"""Command lines as kubectl has them: ``-it``, ``-nfoo``, ``--tail=5``, ``--force=false``, flags anywhere, ``--`` ends them.

Called by every command. Written by hand because argparse neither knows these forms nor is quick to import; ``--help`` is made of
the same table that is parsed.
"""

from __future__ import annotations

from podspace.cli import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
TRUE, FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")


class Flag:
    """One flag. ``takes`` names its value in the help; "" = a switch. ``bare``: the value if none is given with ``=``."""

    __slots__ = ("bare", "default", "help", "many", "name", "short", "takes")

    def __init__(
        self, name: str, short: str = "", *, takes: str = "", default: str = "", many: bool = False, bare: str = "", help: str = ""
    ) -> None:
        self.name = name
        self.short = short
        self.takes = takes
        self.default = default or ("" if takes else "false")
        self.many = many
        self.bare = bare or ("" if takes else "true")
        self.help = help


class Help(Exception):
    """The user asked for help: ``str()`` is the text."""


class Options:
    """A parsed command line. ``rest`` is what came after ``--``, None if there was no ``--``."""

    def __init__(self, command: str, flags: Sequence[Flag]) -> None:
        self.command = command
        self.args: list[str] = []
        self.rest: list[str] | None = None
        self._flags = {flag.name: flag for flag in flags}
        self._values: dict[str, list[str]] = {}

    def add(self, name: str, value: str) -> None:
        self._values.setdefault(name, []).append(value)

    def given(self, name: str) -> bool:
        """Whether the flag is on the command line at all."""
        return name in self._values

    def text(self, name: str) -> str:
        """The last value, or the default. A flag this command does not have is ""."""
        values = self._values.get(name)
        if values:
            return values[-1]
        return self._flags[name].default if name in self._flags else ""

    def texts(self, name: str) -> list[str]:
        """All values of a flag that may be repeated."""
        return list(self._values.get(name, ()))

    def on(self, name: str) -> bool:
        value = self.text(name).lower()
        if value in TRUE:
            return True
        if value in FALSE or not value:
            return False
        raise failure.Usage(f'invalid argument "{value}" for "--{name}" flag: expected true or false', self.command)

    def number(self, name: str) -> int:
        try:
            return int(self.text(name))
        except ValueError:
            raise failure.Usage(f'invalid argument "{self.text(name)}" for "--{name}" flag: expected a number', self.command) from None

    def seconds(self, name: str) -> float:
        """A duration as Go writes it: ``30s``, ``1h30m``; a bare number is seconds."""
        try:
            return duration_seconds(self.text(name))
        except ValueError:
            message = f'invalid argument "{self.text(name)}" for "--{name}" flag: expected a duration such as 30s or 1h30m'
            raise failure.Usage(message, self.command) from None


COMMON = (
    Flag("namespace", "n", takes="NAME", help="namespace (default: the context's)"),
    Flag("kubeconfig", takes="FILE", help="kubeconfig to use (default: $KUBECONFIG, then the server's own)"),
    Flag("context", takes="NAME", help="context of the kubeconfig"),
    Flag("root", takes="DIR", help="the server started with this --root (default: $PODSPACE_ROOT)"),
)


def duration_seconds(text: str) -> float:
    """Raises: ValueError."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if not rest:
        raise ValueError(text)
    try:
        return sign * float(rest)
    except ValueError:
        pass
    total, number = 0.0, ""
    while rest:
        if rest[0].isdigit() or rest[0] == ".":
            number, rest = number + rest[0], rest[1:]
            continue
        unit = rest[:2] if rest[:2] in UNITS else rest[:1]
        total, number, rest = total + float(number) * UNITS.get(unit, float("nan")), "", rest[len(unit) :]
    if number or total != total:
        raise ValueError(text)
    return sign * total


def parse(command: str, usage: str, flags: Sequence[Flag], argv: Sequence[str]) -> Options:
    """Raises: failure.Usage on anything unknown, Help when asked for it."""
    options = Options(command, flags)
    names = {flag.name: flag for flag in flags}
    shorts = {flag.short: flag for flag in flags if flag.short}
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            options.rest = words
            break
        if word in ("-h", "--help"):
            raise Help(help_text(command, usage, flags))
        if word.startswith("--"):
            _long(options, names, word, words)
        elif word.startswith("-") and word != "-":
            _short(options, shorts, word, words)
        else:
            options.args.append(word)
    return options


def help_text(command: str, usage: str, flags: Sequence[Flag]) -> str:
    """The usage text, then one line a flag."""
    lines = [usage.strip(), ""]
    if flags:
        lines.append("Flags:")
    for flag in flags:
        short = f"-{flag.short}, " if flag.short else "    "
        value = f"={flag.takes}" if flag.takes else ""
        lines.append(f"  {short}--{flag.name + value:<30} {flag.help}".rstrip())
    return "\n".join(lines) + "\n"


def _long(options: Options, names: dict[str, Flag], word: str, words: list[str]) -> None:
    name, equals, value = word[2:].partition("=")
    flag = names.get(name)
    if flag is None:
        raise failure.Usage(f"unknown flag: --{name}", options.command)
    _store(options, flag, value if equals else None, words, word)


def _short(options: Options, shorts: dict[str, Flag], word: str, words: list[str]) -> None:
    """``-it`` is two switches; ``-nfoo`` and ``-n=foo`` a value that is stuck on."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None:
            raise failure.Usage(f"unknown shorthand flag: '{letter}' in {word}", options.command)
        if letters.startswith("=") or (flag.takes and letters and not flag.bare):
            _store(options, flag, letters.removeprefix("="), words, word)
            return
        _store(options, flag, None, words, word)


def _store(options: Options, flag: Flag, value: str | None, words: list[str], word: str) -> None:
    if value is None and flag.bare:
        value = flag.bare
    if value is None:
        if not words:
            raise failure.Usage(f"flag needs an argument: {word}", options.command)
        value = words.pop(0)
    options.add(flag.name, value)
