"""The files of a ConfigMap, Secret, downward API or projected volume: relative path -> content and mode. Writes nothing.

Called by ``volumes``, which shows them through ``payload``. What is missing raises ``ConfigError`` in the kubelet's words.
Source: kubelet pkg/volume/{configmap,secret,downwardapi,projected}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from podspace.kube.json import JSON
from podspace.node import environment, fieldpath
from podspace.node.environment import ConfigError
from podspace.node.payload import File
from podspace.node.pod import Pod

SOURCES = frozenset({"configMap", "secret", "downwardAPI", "projected"})
TOKEN_MODE = 0o600  # of a token when the Pod says whose it is

Token = Callable[[Pod, JSON], str]  # a Pod and its serviceAccountToken source -> a token that holds now; raises ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeContext:
    """What filling a volume may look at. ``pods``: the folder of all Pods' folders."""

    pods: Path
    lookup: environment.Lookup
    node: fieldpath.NodeFacts
    pod_ips: tuple[str, ...]
    token: Token


def of(pod: Pod, volume: JSON, context: VolumeContext) -> dict[str, File]:
    """Return what the volume shows now.  Raises: ConfigError."""
    plugin = next(field for field in volume if field in SOURCES)
    source: JSON = volume[plugin]
    mode = source.get("defaultMode", 0o644)
    if plugin == "projected":
        return _projected(pod, source, mode, context)
    return _READERS[plugin](pod, source, mode, context)


def _projected(pod: Pod, source: JSON, mode: int, context: VolumeContext) -> dict[str, File]:
    """All that is missing is told at once."""
    files: dict[str, File] = {}
    missing: list[str] = []
    for part in source.get("sources") or ():
        for kind, inner in part.items():
            try:
                files.update(_READERS[kind](pod, inner, mode, context))
            except ConfigError as error:
                missing.append(str(error))
    if missing:
        raise ConfigError(missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]")
    return files


def _config_map(pod: Pod, source: JSON, mode: int, context: VolumeContext) -> dict[str, File]:
    return _keyed(pod, "configmaps", source, mode, context)


def _secret(pod: Pod, source: JSON, mode: int, context: VolumeContext) -> dict[str, File]:
    return _keyed(pod, "secrets", source, mode, context)


def _keyed(pod: Pod, resource: str, source: JSON, mode: int, context: VolumeContext) -> dict[str, File]:
    name = source.get("secretName") or source.get("name") or ""
    found = context.lookup(resource, pod.namespace, name)
    optional = bool(source.get("optional"))
    if found is None:
        if optional:
            return {}
        raise ConfigError(f'{resource.removesuffix("s")} "{name}" not found')
    data = environment.data_of(resource, found)
    items = source.get("items")
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not optional:
            words = "configmap references non-existent config key" if resource == "configmaps" else "references non-existent secret key"
            raise ConfigError(f"{words}: {item['key']}")
    return files


def _downward_api(pod: Pod, source: JSON, mode: int, context: VolumeContext) -> dict[str, File]:
    return {item["path"]: _downward_file(pod, item, mode, context) for item in source.get("items") or ()}


def _downward_file(pod: Pod, item: JSON, mode: int, context: VolumeContext) -> File:
    if field := item.get("fieldRef"):
        text = fieldpath.value(pod, field["fieldPath"], context.node, context.pod_ips)
    else:
        text = fieldpath.resource_value(pod, item["resourceFieldRef"], "", context.node)
    return File(text.encode(), item.get("mode", mode))


def _token(pod: Pod, source: JSON, mode: int, context: VolumeContext) -> dict[str, File]:
    """Readable by whom the Pod runs as, and by nobody else if that is one user or there is a group for its volumes."""
    user = only_user(pod)
    kept = user is not None or pod.security.get("fsGroup") is not None
    return {source["path"]: File(context.token(pod, source).encode(), TOKEN_MODE if kept else mode, user)}


def only_user(pod: Pod) -> int | None:
    """The user all containers run as, if the spec says so of every one and it is the same."""
    users = {container.security.get("runAsUser", pod.security.get("runAsUser")) for container in pod.every_container()}
    user = users.pop() if len(users) == 1 else None
    return None if user is None else int(user)


_READERS = {
    "configMap": _config_map,
    "secret": _secret,
    "downwardAPI": _downward_api,
    "serviceAccountToken": _token,
}
