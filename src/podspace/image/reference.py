"""Names of images, as Docker reads them: ``nginx`` is ``docker.io/library/nginx:latest``.

Called by everything in ``image`` that meets a name. Pure. Source: github.com/distribution/reference (grammar in its doc comment).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from podspace import errors

DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAX_NAME = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A name with everything filled in. ``str()`` is the canonical form; ``tag`` is "" only when there is a digest."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """``docker.io/library/nginx``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """As a user would write it: ``nginx:latest``."""
        name = self.name.removeprefix(f"{DEFAULT_DOMAIN}/").removeprefix(_OFFICIAL) if self.domain == DEFAULT_DOMAIN else self.name
        return name + self._suffix()

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Read a name; a missing tag is ``latest``. Raises: BadRequest, in Docker's words."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text)
    name, tag = _split_tag(rest)
    if _ID.fullmatch(rest):
        raise _invalid(text, f"repository name ({rest}) must be canonical: cannot specify 64-byte hexadecimal strings")
    remote = _split_domain(text)[1].partition(":")[0]
    if remote != remote.lower():
        raise _invalid(text, f"repository name ({remote}) must be lowercase")
    domain, path = _split_domain(name)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(text)
    if not _PATH.fullmatch(path):
        raise _invalid(text)
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(text)
    if len(path) > _MAX_NAME:
        raise _invalid(text, f"repository name must not be more than {_MAX_NAME} characters")
    if tag is None:
        tag = "" if digest else "latest"
    return Reference(domain=domain, path=path, tag=tag, digest=digest)


def image_id(text: str) -> str | None:
    """Return ``sha256:...`` when the text is an image's id, with or without the algorithm."""
    return f"sha256:{text.removeprefix('sha256:')}" if _ID.fullmatch(text) else None


def _split_tag(rest: str) -> tuple[str, str | None]:
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon belongs to a port
        return rest, None
    return name, tag


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def _invalid(text: str, detail: str = "") -> errors.BadRequest:
    reason = "invalid reference format" + (f": {detail}" if detail else "")
    return errors.BadRequest(f'couldn\'t parse image name "{text}": {reason}')
