"""The one error every protocol of this folder raises for bytes that break its rules.

Caught by the glue in ``api`` that owns the connection: it says goodbye to that client and to nobody else.
"""

from __future__ import annotations

from podspace import errors


class ProtocolError(errors.BadRequest):
    """The peer sent what the protocol does not allow; the connection cannot be used any further."""
