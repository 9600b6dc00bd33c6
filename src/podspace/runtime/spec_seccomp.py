"""The seccomp profile of a container or of /pause: the default one, one from a file, or none.

Called by ``spec_container`` and ``spec_sandbox``. Source: OCI runtime-spec config-linux.md; KEP-135.
"""

from __future__ import annotations

import json
from typing import Any

from podspace import errors
from podspace.runtime import machine, model


def profile(wanted: model.SeccompProfile, names: tuple[str, ...], here: machine.Machine) -> tuple[dict[str, Any], dict[str, str]]:
    """``linux.seccomp`` ({} = unconfined) and annotations. ``names``: of the capabilities held.  Raises: FailedPrecondition."""
    if wanted.kind == "Unconfined":
        return {}, {}
    if wanted.kind == "RuntimeDefault":
        return machine.default_seccomp(here, names)
    path = wanted.localhost_path
    try:
        loaded = json.loads(path.read_text()) if path else None
    except (OSError, ValueError) as error:
        raise errors.FailedPrecondition(f"cannot load seccomp profile {path}: {error}") from error
    if not isinstance(loaded, dict) or "defaultAction" not in loaded:
        raise errors.FailedPrecondition(f"cannot load seccomp profile {path}: it has no defaultAction")
    return loaded, {}
