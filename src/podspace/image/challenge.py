"""What a registry wants to see: WWW-Authenticate challenges and the tokens that answer them.

Called by ``image.registry``. Pure, but for nothing: the requests are made there.
Source: RFC 9110 11.6.1; distribution docs/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from podspace import errors
from podspace.image.auth import Credential

_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[!-~]+")  # it goes into a header
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """``scheme`` is lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Read WWW-Authenticate headers; one header may hold several challenges. Nonsense is passed over."""
    found: list[Challenge] = []
    for header in headers:
        position = 0
        while match := _SCHEME.match(header, position):
            scheme, position = match[1].lower(), match.end()
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(header, position):
                quoted = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
                parameters[pair[1].lower()] = quoted
                position = pair.end()
            found.append(Challenge(scheme=scheme, parameters=parameters))
    return found


def pick(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the one we can answer best: a token before a password on every request."""
    known = {challenge.scheme: challenge for challenge in challenges}
    return known.get("bearer") or known.get("basic")


def basic(credential: Credential) -> str:
    """The Authorization header's value."""
    pair = f"{credential.username}:{credential.password}".encode(errors="surrogatepass")  # JSON can spell what UTF-8 cannot
    return "Basic " + base64.b64encode(pair).decode()


def bearer(token: str) -> str:
    """The Authorization header's value. Raises: Unauthorized for a token that cannot be one."""
    if not _TOKEN.fullmatch(token):
        raise errors.Unauthorized("the bearer token holds what no token may")
    return f"Bearer {token}"


def token(body: bytes) -> str:
    """Return the token of a token server's answer. Raises: Unauthorized."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        for key in ("token", "access_token"):
            if isinstance(document.get(key), str) and _TOKEN.fullmatch(document[key]):
                return str(document[key])
    raise errors.Unauthorized("the token server's answer holds no token")


def said(body: bytes) -> str:
    """Return a registry's own words: ``{"errors": [{"code", "message", "detail"}]}`` or whatever it sent, on one line."""
    text = body[:2000].decode(errors="replace").strip()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return " ".join(text.split()) if not text.startswith("<") else ""
    if not isinstance(document, dict):
        return text
    listed = document.get("errors")
    if isinstance(listed, list):
        return "; ".join(filter(None, (_error(each) for each in listed if isinstance(each, dict))))
    return str(document.get("details") or document.get("message") or document.get("error") or "")


def _error(entry: Mapping[str, object]) -> str:
    code = str(entry.get("code") or "").lower().replace("_", " ")
    return ": ".join(dict.fromkeys(filter(None, (code, str(entry.get("message") or "")))))
