"""What an image reference says about pulling. Called by ``defaults``; parsing references for registries is ``image``'s business.

Source: distribution/reference grammar; kubernetes pkg/util/parsers.
"""

from __future__ import annotations

import re

_DOMAIN = (
    r"(?:localhost|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
)
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*(?::(\w[\w.-]{{0,127}}))?(@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{{32,}})?", re.ASCII
)


def pull_policy(reference: str) -> str:
    """``Always`` without a tag or a digest, and for the tag ``latest`` even with a digest; else ``IfNotPresent``.

    ``r.io:5000/x`` has no tag; what is no reference at all is IfNotPresent, as on a real server.
    """
    shape = _REFERENCE.fullmatch(reference)
    if shape is None:
        return "IfNotPresent"
    tag, digest = shape.groups()
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"
