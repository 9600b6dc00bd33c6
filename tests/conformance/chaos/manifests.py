"""The Pods that chaos happens to: every restart policy, with and without a shared PID namespace, init containers, sidecars, every volume.

Their commands end by themselves, stay, crash, or will not die when asked; ``random_pod`` picks one.
"""

from __future__ import annotations

import random
from typing import Any

JSON = dict[str, Any]
IMAGE = "busybox:1.28"
STAYS = "trap 'exit 0' TERM; echo up; while :; do sleep 0.5 & wait $!; done"
TALKS = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.3; done"
STUBBORN = "trap '' TERM; while :; do sleep 1; done"
ENDS = "echo working; sleep 2; echo done; exit 0"
FAILS = "sleep 1; echo failing >&2; exit 7"
CRASHES = "exit 3"
ORPHANS = "(sleep 900 &) ; (sh -c 'sleep 901 & sleep 902' &) ; exec sleep 903"


def container(name: str, script: str, **fields: Any) -> JSON:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script]} | fields


def pod(name: str, *containers: JSON, **spec: Any) -> JSON:
    fields: JSON = {"terminationGracePeriodSeconds": 2, "containers": list(containers)} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": fields}


def shared(name: str) -> JSON:
    return pod(name, container("a", STAYS, stdin=True), container("b", ORPHANS), shareProcessNamespace=True)


def plain(name: str) -> JSON:
    return pod(name, container("a", STAYS), container("b", TALKS))


def never(name: str) -> JSON:
    return pod(name, container("a", ENDS), container("b", FAILS), restartPolicy="Never")


def on_failure(name: str) -> JSON:
    init = container("i", "sleep 0.3; echo ready")
    return pod(name, container("a", FAILS), container("b", ENDS), restartPolicy="OnFailure", initContainers=[init])


def crashing(name: str) -> JSON:
    return pod(name, container("a", CRASHES), container("b", STAYS), shareProcessNamespace=True)


def stubborn(name: str) -> JSON:
    return pod(name, container("a", STUBBORN), terminationGracePeriodSeconds=3)


def sidecar(name: str) -> JSON:
    inits = [container("s", STAYS, restartPolicy="Always"), container("i", "sleep 0.2")]
    mount = [{"name": "v", "mountPath": "/v"}]
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    return pod(name, container("a", f"echo x > /v/x; {STAYS}", volumeMounts=mount), initContainers=inits, volumes=volumes)


def voluminous(name: str) -> JSON:
    """Everything that is mounted, bound, provided for or signed for one Pod."""
    token = {"serviceAccountToken": {"path": "token"}}
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    volumes = [
        {"name": "t", "projected": {"sources": [token, {"configMap": {"name": "kube-root-ca.crt"}}]}},
        {"name": "c", "ephemeral": {"volumeClaimTemplate": template}},
        {"name": "e", "emptyDir": {"sizeLimit": "1Mi"}},
    ]
    mounts = [
        {"name": "t", "mountPath": "/t"},
        {"name": "c", "mountPath": "/c"},
        {"name": "e", "mountPath": "/e", "subPath": "part"},
        {"name": "t", "mountPath": "/ca", "subPath": "ca.crt"},
    ]
    script = "test -s /t/token && test -s /ca && echo x >> /c/file && echo x >> /e/file && sleep 1 && "
    talks = [container(one, script + then, volumeMounts=mounts) for one, then in (("a", FAILS), ("b", "exec sleep 904"))]
    return pod(name, *talks, volumes=volumes, securityContext={"fsGroup": 4321}, serviceAccountName="default")


def pulling(name: str, image: str) -> JSON:
    big = {"name": "big", "image": image, "imagePullPolicy": "Always", "command": ["sh", "-c", STAYS]}
    return pod(name, container("a", STAYS), big, shareProcessNamespace=True)


def random_pod(rng: random.Random, name: str, big_images: list[str]) -> JSON:
    """One of the above."""
    kind = rng.choice([shared, shared, plain, never, on_failure, crashing, stubborn, sidecar, voluminous, None])
    return pulling(name, rng.choice(big_images)) if kind is None else kind(name)
