"""The audit of a manifest by ourselves, where no server of ours does it: without a look at images, and without trying."""

from __future__ import annotations

import json

from podspace.kube import decode, resources
from podspace.kube.json import JSON
from podspace.lens import audit, audit_manifest, audit_rules


def review(pod: JSON) -> JSON:
    """``PodAudit`` of a manifest.  Raises: errors.BadRequest for what is no Pod."""
    pod = decode.decode(json.dumps(pod).encode(), "application/json", resources.PODS).obj
    images = {placed.name: audit_manifest.ImageFacts() for placed in audit_manifest.containers(pod)}
    status = audit.of_manifest(pod, images, audit_rules.Kernel())
    return {"kind": "PodAudit", "apiVersion": "lens.podspace.io/v1", "metadata": {}, "spec": {"pod": pod}, "status": status}
