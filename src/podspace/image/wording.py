"""Saying the same failure with more context. Called wherever ``image`` adds a name to what a lower part raised."""

from __future__ import annotations

import os

from podspace import errors

_KINDS = (errors.NotFound, errors.Unauthorized, errors.Forbidden, errors.FailedPrecondition, errors.BadRequest, errors.Internal)


def like(error: Exception, message: str) -> errors.PodspaceError:
    """Return an error of the same kind with another message; Unavailable for kinds that have no meaning here."""
    for kind in _KINDS:
        if isinstance(error, kind):
            return kind(message)
    return errors.Unavailable(message)


def detail(error: Exception) -> str:
    """What to quote: an OSError without its number, ours as they are."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) + (f": {error.filename}" if error.filename else "")
    return str(error)
