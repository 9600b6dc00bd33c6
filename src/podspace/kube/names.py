"""Names: made up for ``generateName``, and the syntax rules names, labels and keys have to follow.

Called by ``api`` (generateName) and ``validation``. Each rule answers the sentences of what is wrong, none if all is well.
Source: apimachinery util/validation; apiserver names.SimpleNameGenerator.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Callable

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no 0 1 3: no words, no look-alikes
_PREFIX_LENGTH = 58
_SUFFIX_LENGTH = 5

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SEARCH = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_HEADER = r"[-A-Za-z0-9]+"
_SYSCTL_SEGMENT = r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"

Rule = Callable[[str], tuple[str, ...]]


def generate(base: str) -> str:
    """``base`` cut to 58 characters and five random ones."""
    return base[:_PREFIX_LENGTH] + "".join(secrets.choice(ALPHABET) for _ in range(_SUFFIX_LENGTH))


@functools.lru_cache(maxsize=1024)
def label(text: str) -> tuple[str, ...]:
    """A DNS label: container, volume and namespace names. What has only dots too many is told so."""
    if _matches(_SUBDOMAIN, text) and not _matches(_LABEL, text):
        return (*(("must be no more than 63 characters",) if len(text) > 63 else ()), LABEL_NO_DOTS)
    return _check(text, 63, _LABEL, _LABEL_MESSAGE, "my-name", "123-abc")


@functools.lru_cache(maxsize=1024)
def subdomain(text: str) -> tuple[str, ...]:
    """A DNS subdomain: names of most objects."""
    return _check(text, 253, _SUBDOMAIN, _SUBDOMAIN_MESSAGE, "example.com")


@functools.lru_cache(maxsize=1024)
def search_domain(text: str) -> tuple[str, ...]:
    """A DNS subdomain in which underscores may be: what resolv.conf searches."""
    return _check(text, 253, _SEARCH, _SEARCH_MESSAGE, "example.com")


def path_segment(text: str) -> tuple[str, ...]:
    """What can be a part of an object's address at all."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{letter}'" for letter in "/%" if letter in text)


@functools.lru_cache(maxsize=1024)
def qualified(text: str) -> tuple[str, ...]:
    """A label key: ``app``, ``example.com/app``."""
    parts = text.split("/")
    if len(parts) > 2:
        return (f"a valid label key {_regex_error(_QUALIFIED_MESSAGE, _QUALIFIED, 'MyName', 'my.name', '123-abc')}{_WITH_PREFIX}",)
    found: list[str] = []
    if len(parts) == 2:
        found += ["prefix part must be non-empty"] if not parts[0] else [f"prefix part {problem}" for problem in subdomain(parts[0])]
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > 63:
        found.append("name part must be no more than 63 bytes")
    if not _matches(_QUALIFIED, name):
        found.append("name part " + _regex_error(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def label_value(text: str) -> tuple[str, ...]:
    """A label's value; may be empty."""
    found = ["must be no more than 63 bytes"] if len(text.encode()) > 63 else []
    if not _matches(_LABEL_VALUE, text):
        found.append(_regex_error(_LABEL_VALUE_MESSAGE, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return tuple(found)


def config_key(text: str) -> tuple[str, ...]:
    """A key of a ConfigMap or Secret: a file name."""
    found = ["must be no more than 253 characters"] if len(text) > 253 else []
    if not _matches(_CONFIG_KEY, text):
        found.append(_regex_error(_CONFIG_KEY_MESSAGE, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if text in (".", ".."):
        found.append(f"must not be '{text}'")
    elif text.startswith(".."):
        found.append("must not start with '..'")
    return tuple(found)


def http_header(text: str) -> tuple[str, ...]:
    return () if _matches(_HEADER, text) else (_regex_error(_HEADER_MESSAGE, _HEADER, "X-Header-Name"),)


def environment(text: str) -> tuple[str, ...]:
    """Any printable ASCII but ``=``."""
    if not text or not all(" " <= letter <= "~" and letter != "=" for letter in text):
        return ("a valid environment variable name must consist only of printable ASCII characters other than '='",)
    return ()


def port_name(text: str) -> tuple[str, ...]:
    """Up to 15 of a-z, 0-9 and ``-``, at least one letter."""
    found: list[str] = []
    if len(text) > 15:
        found.append("must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text and "-" in (text[0], text[-1]):
        found.append("must not begin or end with a hyphen")
    return tuple(found)


_ALPHANUMERIC = "and must start and end with an alphanumeric character"
_LABEL_MESSAGE = f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ALPHANUMERIC}"
_SUBDOMAIN_MESSAGE = f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ALPHANUMERIC}"
_SEARCH_MESSAGE = f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', {_ALPHANUMERIC}"
_QUALIFIED_MESSAGE = f"must consist of alphanumeric characters, '-', '_' or '.', {_ALPHANUMERIC}"
_LABEL_VALUE_MESSAGE = f"a valid label must be an empty string or {_QUALIFIED_MESSAGE.removeprefix('must ')}"
_CONFIG_KEY_MESSAGE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_HEADER_MESSAGE = "a valid HTTP header must consist of alphanumeric characters or '-'"
_WITH_PREFIX = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
LABEL_NO_DOTS = "must not contain dots"


def _check(text: str, limit: int, pattern: str, message: str, *examples: str) -> tuple[str, ...]:
    found = [f"must be no more than {limit} characters"] if len(text) > limit else []
    if not _matches(pattern, text):
        found.append(_regex_error(message, pattern, *examples))
    return tuple(found)


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _regex_error(message: str, pattern: str, *examples: str) -> str:
    """``<message> (e.g. 'a',  or 'b', regex used for validation is '...')``: Go's spacing."""
    quoted = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {quoted}regex used for validation is '{pattern}')"
