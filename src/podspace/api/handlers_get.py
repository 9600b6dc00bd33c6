"""GET of one object.

Called by ``dispatch``, also for subresources that show the object itself (status, ephemeralcontainers, resize).
"""

from __future__ import annotations

from aiohttp import web

from podspace.api import list_options
from podspace.api.call import Call


async def get(call: Call) -> web.StreamResponse:
    """Answer with the object.  Raises: NotFound, TimedOut (a resourceVersion still to come)."""
    version = call.query.get("resourceVersion")
    if version:
        list_options.refuse_future(list_options.revision(version), call.store.revision)
    return call.answer_stored(call.existing())
