"""What is accepted but surprises: the texts of Warning headers for new Pods.

Called by ``validation``. Source: kubernetes pkg/api/pod/warnings.go, as seen on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator

from podspace.kube import names, quantity
from podspace.kube.defaults import SOURCES_OFF
from podspace.kube.json import JSON

_OLD_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_SEEN_SOURCES = ("secret", "configMap", "downwardAPI", "serviceAccountToken")


def pod(obj: JSON) -> list[str]:
    """In the order a real server gives them, each once."""
    return list(dict.fromkeys((*_apparmor(obj), *_name(obj), *_spec(obj), *_seccomp(obj))))


def before_defaults(obj: JSON) -> list[str]:
    """What of a Pod, as it was sent, does not outlive defaulting."""
    spec: JSON = obj.get("spec") or {}
    return [*_dropped_sources(spec), *_dropped_signals(spec)]


def _dropped_sources(spec: JSON) -> list[str]:
    return [
        f"spec.volumes[{index}].projected.sources[{place}].{name}: dropped, because its feature gate is off"
        for index, volume in enumerate(spec.get("volumes") or ())
        for place, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        for name in SOURCES_OFF
        if name in source
    ]


def _dropped_signals(spec: JSON) -> list[str]:
    if (spec.get("os") or {}).get("name"):
        return []
    return [
        f"spec.{field}[{index}].lifecycle.stopSignal: dropped, because it needs spec.os.name: linux"
        for field in ("initContainers", "containers")
        for index, container in enumerate(spec.get(field) or ())
        if (container.get("lifecycle") or {}).get("stopSignal")
    ]


def storage(obj: JSON) -> list[str]:
    """Of a claim or a volume."""
    found = []
    if _OLD_CLASS in ((obj.get("metadata") or {}).get("annotations") or {}):
        found.append(f'metadata.annotations[{_OLD_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead')
    if (obj.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Recycle":
        advice = "Instead, the recommended approach is to use dynamic provisioning."
        found.append(f"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. {advice}")
    return found


def _name(obj: JSON) -> Iterator[str]:
    name = (obj.get("metadata") or {}).get("name", "")
    problems = (*names.label(name[:63]), *(("must be no more than 63 characters",) if len(name) > 63 else ()))
    if "." in name and not names.subdomain(name):
        problems = (names.LABEL_NO_DOTS,)
    if name and problems:
        advice = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {advice}: [{' '.join(problems)}]"


def _spec(obj: JSON) -> Iterator[str]:
    spec: JSON = obj.get("spec") or {}
    for key in spec.get("nodeSelector") or {}:
        if key in _OLD_LABELS:
            since, instead = _OLD_LABELS[key]
            yield f'spec.nodeSelector[{key}]: deprecated since {since}; use "{instead}" instead'
    for volume in spec.get("volumes") or ():
        yield from _volume(volume)
    yield from _duplicate_names(spec.get("hostAliases") or [], "ip", "spec.hostAliases[{}].ip: duplicate ip {!r}")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'spec.imagePullSecrets[{index}].name: invalid empty name ""'
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container(container, f"spec.{field}[{index}]")
    yield from _ports(spec)


def _duplicate_names(items: list[JSON], key: str, text: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.get(key, "") in seen:
            yield text.format(index, item.get(key, "")).replace("'", '"')
        seen.add(item.get(key, ""))


def _volume(volume: JSON) -> Iterator[str]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        if not any(kind in source for kind in _SEEN_SOURCES):
            yield f'volume "{volume.get("name", "")}" (Projected) has no sources provided'


def _container(container: JSON, path: str) -> Iterator[str]:
    for side in ("limits", "requests"):
        for name in ("memory", "ephemeral-storage"):
            amount = ((container.get("resources") or {}).get(side) or {}).get(name)
            if amount is not None and not quantity.parse(amount).is_whole:
                yield f'{path}.resources.{side}[{name}]: fractional byte value "{amount}" is invalid, must be an integer'
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _ports(spec: JSON) -> Iterator[str]:
    seen: dict[tuple[object, ...], str] = {}
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            for number, port in enumerate(container.get("ports") or ()):
                path = f"spec.{field}[{index}].ports[{number}]"
                key = (port.get("hostIP", ""), port.get("hostPort", 0), port.get("containerPort", 0), port.get("protocol", ""))
                if key in seen:
                    yield f"{path}: duplicate port definition with {seen[key]}"
                if port.get("hostIP") and not port.get("hostPort"):
                    yield f"{path}: hostIP set without hostPort: {port}"
                seen.setdefault(key, path)


def _apparmor(obj: JSON) -> Iterator[str]:
    containers = {container.get("name") for container in (obj.get("spec") or {}).get("containers") or ()}
    for key in (obj.get("metadata") or {}).get("annotations") or {}:
        if key.startswith(_APPARMOR) and key[len(_APPARMOR) :] in containers:
            yield f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _seccomp(obj: JSON) -> Iterator[str]:
    for key in (obj.get("metadata") or {}).get("annotations") or {}:
        if key == _SECCOMP_POD or key.startswith(_SECCOMP_CONTAINER):
            yield f'metadata.annotations[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead'
