"""Registry credentials a Pod brings along: its imagePullSecrets. Values never leave this module but inside ``Credential``.

Source: kubelet pkg/credentialprovider; Secret types kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg.
"""

from __future__ import annotations

import base64
import json

from podspace.image import auth
from podspace.image.auth import Credential
from podspace.kube.json import JSON
from podspace.node.environment import Lookup
from podspace.node.pod import Pod


def of(pod: Pod, lookup: Lookup) -> tuple[Credential, ...]:
    """Return what the Pod's pull secrets hold; secrets that are missing or malformed are passed over, as a kubelet does."""
    found: list[Credential] = []
    for reference in pod.spec.get("imagePullSecrets") or ():
        secret = lookup("secrets", pod.namespace, reference.get("name") or "")
        if secret is not None:
            found += auth.parse_config(_config(secret))
    return tuple(found)


def missing(pod: Pod, lookup: Lookup) -> list[str]:
    """Return the names of the pull secrets that are not there."""
    names = [str(reference.get("name") or "") for reference in pod.spec.get("imagePullSecrets") or ()]
    return [name for name in names if lookup("secrets", pod.namespace, name) is None]


def _config(secret: JSON) -> JSON:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            config = json.loads(base64.b64decode(data[".dockerconfigjson"]))
            return config if isinstance(config, dict) else {}
        if ".dockercfg" in data:
            return {"auths": json.loads(base64.b64decode(data[".dockercfg"]))}
    except (ValueError, RecursionError):
        pass
    return {}
