"""What is accepted but surprises: the texts of Warning headers for new Pods.

Called by ``validation``. Source: kubernetes pkg/api/pod/warnings.go, as seen on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator

from podspace.kube import addresses, names, quantity
from podspace.kube.defaults import SOURCES_OFF, apparmor_profile
from podspace.kube.json import JSON
from podspace.kube.validation_annotations import APPARMOR, SECCOMP_CONTAINER, SECCOMP_POD

_OLD_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_OLD_VOLUMES = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_NO_SELECTOR = "a null labelSelector results in matching no pod"
_SIZES = ("memory", "ephemeral-storage")


def pod(obj: JSON) -> list[str]:
    """In the order a real server gives them, each once."""
    spec: JSON = obj.get("spec") or {}
    annotations: JSON = (obj.get("metadata") or {}).get("annotations") or {}
    found = (
        *_name(obj),
        *_scheduling(spec),
        *(f"metadata.annotations[{key}]: {advice}" for key, advice in _OLD_ANNOTATIONS.items() if key in annotations),
        *_volumes(spec),
        *_overlaps(spec),
        *_lists(spec),
        *_fractions(spec.get("overhead") or {}, "spec.overhead"),
        *_seccomp(annotations, spec, SECCOMP_POD),
        *(line for path, container in containers(spec) for line in _container(container, annotations, path)),
        *_ports(spec),
        *_selectors(spec),
        *_addresses(spec),
    )
    return list(dict.fromkeys(found))


def containers(spec: JSON) -> Iterator[tuple[str, JSON]]:
    """Every container with its path, in Go's order."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def before_defaults(obj: JSON) -> list[str]:
    """What of a Pod, as it was sent, does not outlive defaulting."""
    spec: JSON = obj.get("spec") or {}
    annotations: JSON = (obj.get("metadata") or {}).get("annotations") or {}
    return [*_dropped_sources(spec), *_dropped_signals(spec), *dict.fromkeys(_apparmor(annotations, spec))]


def _apparmor(annotations: JSON, spec: JSON) -> Iterator[str]:
    """Annotations that become a field, or cannot."""
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for _, container in containers(spec):
        key = APPARMOR + str(container.get("name", ""))
        if key not in annotations or "appArmorProfile" in (container.get("securityContext") or {}):
            continue
        profile = apparmor_profile(annotations[key])
        if profile is None or profile != of_pod:
            yield f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


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
    spec: JSON = obj.get("spec") or {}
    annotations: JSON = (obj.get("metadata") or {}).get("annotations") or {}
    found = []
    if _OLD_CLASS in annotations:
        found.append(f'metadata.annotations[{_OLD_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead')
    if obj.get("kind") == "PersistentVolumeClaim":
        return [*found, *claim_fractions(spec, "spec")]
    if _OLD_OPTIONS in annotations:
        found.append(f'metadata.annotations[{_OLD_OPTIONS}]: deprecated since v1.31; use "mountOptions" attribute instead')
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        advice = "Instead, the recommended approach is to use dynamic provisioning."
        found.append(f"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. {advice}")
    place: JSON = (spec.get("nodeAffinity") or {}).get("required") or {}
    for index, term in enumerate(place.get("nodeSelectorTerms") or ()):
        found += _node_term(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]", check_values=False)
    for kind in ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"):
        if kind in spec:
            shown, advice = _OLD_VOLUMES[kind]
            found.append(f"spec.{shown}: {advice}")
    return found


def _name(obj: JSON) -> Iterator[str]:
    name = (obj.get("metadata") or {}).get("name", "")
    if name and (problems := names.label(name)):
        advice = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {advice}: [{' '.join(problems)}]"


def _scheduling(spec: JSON) -> Iterator[str]:
    """Labels of nodes that go by another name now, and selectors that match nothing."""
    for key in spec.get("nodeSelector") or {}:
        if key in _OLD_LABELS:
            yield f"spec.nodeSelector[{key}]: {_OLD_LABELS[key]}"
    affinity: JSON = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    field = "spec.affinity.nodeAffinity"
    required: JSON = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        path = f"{field}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]"
        yield from _node_term(term, path, check_values=False)
    for index, preferred in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        path = f"{field}.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        yield from _node_term(preferred.get("preference") or {}, path, check_values=True)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key, path = constraint.get("topologyKey", ""), f"spec.topologySpreadConstraints[{index}]"
        if key in _OLD_LABELS:
            yield f"{path}.topologyKey: {key} is {_OLD_LABELS[key]}"
        if "labelSelector" not in constraint:
            yield f"{path}.labelSelector: {_NO_SELECTOR}"


def _node_term(term: JSON, path: str, *, check_values: bool) -> Iterator[str]:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        key, here = requirement.get("key", ""), f"{path}.matchExpressions[{index}]"
        if key in _OLD_LABELS:
            yield f"{here}.key: {key} is {_OLD_LABELS[key]}"
        for place, value in enumerate(requirement.get("values") or () if check_values else ()):
            for problem in names.label_value(value):
                yield f"{here}.values[{place}]: {value} is invalid, {problem}"


def _volumes(spec: JSON) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        path = f"spec.volumes[{index}]"
        for kind, (shown, advice) in _OLD_VOLUMES.items():
            if kind in volume:
                yield f"{path}.{shown}: {advice}"
        if template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
            yield from claim_fractions(template.get("spec") or {}, f"{path}.ephemeral.volumeClaimTemplate.spec")


def claim_fractions(spec: JSON, path: str) -> Iterator[str]:
    """Of a claim's spec."""
    for side in ("requests", "limits"):
        amounts: JSON = (spec.get("resources") or {}).get(side) or {}
        yield from _fractions(amounts, f"{path}.resources.{side}", ("storage",))


def _fractions(amounts: JSON, path: str, sizes: tuple[str, ...] = _SIZES) -> Iterator[str]:
    for name in sizes:
        if name in amounts and not quantity.parse(amounts[name]).is_whole:
            yield f'{path}[{name}]: fractional byte value "{amounts[name]}" is invalid, must be an integer'


def _overlaps(spec: JSON) -> Iterator[str]:
    """Files of one volume that are, or are below, one another."""
    for volume in spec.get("volumes") or ():
        shown = f'volume "{volume.get("name", "")}"'
        for kind, what, name in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ):
            if source := volume.get(kind):
                title = f'{what} "{source.get(name, "")}"' if name else what
                files = [(item.get("path", ""), "") for item in source.get("items") or ()]
                yield from (f"{shown} ({title}): overlapping paths: {line}" for line in _clashes(files))
        files = []
        for source in (volume.get("projected") or {}).get("sources") or ():
            if not source:
                yield f"{shown} (Projected) has no sources provided"
            files.extend(_projected_files(source))
        yield from (f"{shown} (Projected): overlapping paths: {line}" for line in _clashes(files))


def _projected_files(source: JSON) -> list[tuple[str, str]]:
    for kind, what in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        if (items := (source.get(kind) or {}).get("items")) is not None:
            title = what if kind == "downwardAPI" else f'{what} "{source[kind].get("name", "")}"'
            return [(item.get("path", ""), title) for item in items]
    token = source.get("serviceAccountToken")
    return [] if token is None else [(token.get("path", ""), "ServiceAccountToken")]


def _clashes(files: list[tuple[str, str]]) -> Iterator[str]:
    before: list[tuple[str, str]] = []
    for path, title in files:
        this = (path.rstrip("/"), title)
        for other in before:
            if this[0] and other[0] and (f"{other[0]}/".startswith(f"{this[0]}/") or f"{this[0]}/".startswith(f"{other[0]}/")):
                yield f"{_file(this)} with {_file(other)}"
        before.append(this)


def _file(file: tuple[str, str]) -> str:
    path, title = file
    return f'"{path}" ({title})' if title else f'"{path}"'


def _lists(spec: JSON) -> Iterator[str]:
    yield from _duplicates([alias.get("ip", "") for alias in spec.get("hostAliases") or ()], "spec.hostAliases", "ip")
    secrets = [secret.get("name", "") for secret in spec.get("imagePullSecrets") or ()]
    yield from _duplicates(secrets, "spec.imagePullSecrets", "name")
    yield from (f'spec.imagePullSecrets[{index}].name: invalid empty name ""' for index, name in enumerate(secrets) if not name)


def _duplicates(values: list[str], field: str, key: str) -> Iterator[str]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield f'{field}[{index}].{key}: duplicate {key} "{value}"'


def _seccomp(annotations: JSON, holder: JSON, key: str) -> Iterator[str]:
    if key in annotations and "seccompProfile" not in (holder.get("securityContext") or {}):
        yield f'metadata.annotations[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead'


def _container(container: JSON, annotations: JSON, path: str) -> Iterator[str]:
    yield from _seccomp(annotations, container, f"{SECCOMP_CONTAINER}{container.get('name', '')}")
    for name in _SIZES:
        for side in ("limits", "requests"):
            amounts: JSON = (container.get("resources") or {}).get(side) or {}
            yield from _fractions(amounts, f"{path}.resources.{side}", (name,))
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        adds = f"$({name})" in value and value != f"$({name})" and "valueFrom" not in variable
        if name in seen and not adds:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _ports(spec: JSON) -> Iterator[str]:
    ports = [
        (f"{path}.ports[{number}]", port)
        for path, container in containers(spec)
        for number, port in enumerate(container.get("ports") or ())
    ]
    seen: list[tuple[str, JSON]] = []
    for path, port in ports:
        if port.get("hostIP") and not port.get("hostPort"):
            yield f"{path}: hostIP set without hostPort: {_go_port(port)}"
        yield from (f"{path}: {clash} port definition with {other}" for other, before in seen if (clash := _clash(port, before)))
        seen.append((path, port))
    first: dict[str, str] = {}
    for path, port in ports:
        if name := port.get("name"):
            other = first.setdefault(name, path)
            if other != path:
                why = f"services and probes that select ports by name will use {other}"
                yield f'{path}: duplicate port name "{name}" with {other}, {why}'


def _clash(port: JSON, before: JSON) -> str:
    if any(port.get(name) != before.get(name) for name in ("containerPort", "protocol")):
        return ""
    own, other = ((one.get("hostIP") or "", one.get("hostPort") or 0) for one in (port, before))
    if own == other:
        return "duplicate"
    if not own[1] or not other[1]:
        return "overlapping"
    return "dangerously ambiguous" if own[1] == other[1] and (not own[0] or not other[0]) else ""


def _go_port(port: JSON) -> str:
    """As Go prints the struct."""
    fields = (("Name", ""), ("HostPort", 0), ("ContainerPort", 0), ("Protocol", ""), ("HostIP", ""))
    listed = (f"{name}:{port.get(name[0].lower() + name[1:], nothing)}" for name, nothing in fields)
    return f"{{{' '.join(listed)}}}"


def _selectors(spec: JSON) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity: JSON = (spec.get("affinity") or {}).get(kind) or {}
        field = f"spec.affinity.{kind}"
        for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            if "labelSelector" not in term:
                yield f"{field}.requiredDuringSchedulingIgnoredDuringExecution[{index}].labelSelector: {_NO_SELECTOR}"
        for index, preferred in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            if "labelSelector" not in (preferred.get("podAffinityTerm") or {}):
                path = f"{field}.preferredDuringSchedulingIgnoredDuringExecution[{index}].podAffinityTerm"
                yield f"{path}.labelSelector: {_NO_SELECTOR}"


def _addresses(spec: JSON) -> Iterator[str]:
    """Addresses that are spelled so that some programs read them otherwise."""
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from addresses.advice(server, f"spec.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from addresses.advice(alias.get("ip", ""), f"spec.hostAliases[{index}].ip")
