"""Whether a container may run as whom its image says: ``runAsNonRoot``, checked before anything is made.

Called by ``starting``; pure. Source: kubelet pkg/kubelet/kuberuntime/security_context.go verifyRunAsNonRoot.
"""

from __future__ import annotations

from podspace.node.environment import ConfigError
from podspace.node.pod import Container, Pod
from podspace.oci import users


def check_non_root(pod: Pod, container: Container, image_user: str) -> None:
    """Raises: ConfigError when ``runAsNonRoot`` is asked for and the user is root, or has a name only (whose number nobody knows)."""
    if not _of(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{pod.full_name}", container: {container.name})'
    uid = _of(pod, container, "runAsUser")
    if uid is not None:
        if uid == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    user = image_user.partition(":")[0]
    if not user or (users.is_number(user) and int(user) == 0):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not users.is_number(user):
        raise ConfigError(f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root {where}")


def _of(pod: Pod, container: Container, field: str) -> object:
    own = container.security.get(field)
    return own if own is not None else pod.security.get(field)
