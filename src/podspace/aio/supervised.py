"""One object's trouble kept from being everybody's: for controllers that serve many objects from one task.

Called around the work on a single object. What is raised on purpose is told in a line; anything else is a bug, told with its traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from podspace import errors


async def tried(log: logging.Logger, what: str, step: Coroutine[Any, Any, None]) -> bool:
    """Whether the step came to its end. Cancellation passes."""
    try:
        await step
    except (errors.PodspaceError, OSError) as error:
        log.warning("%s: %s", what, error)
    except Exception:
        log.exception("%s: a bug in podspace", what)
    else:
        return True
    return False
