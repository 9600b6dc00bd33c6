"""The environment of a container: literal values, ``$(VAR)`` references, ConfigMaps, Secrets, the downward API and files of variables.

Pure but for ``lookup``, through which it reads ConfigMaps and Secrets, and the files. A missing reference raises ``ConfigError`` in the
kubelet's words, which becomes the container's ``CreateContainerConfigError``. Values are never logged.
Source: kubelet pkg/kubelet/kubelet_pods.go makeEnvironmentVariables; third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from podspace import errors
from podspace.kube.json import JSON
from podspace.linux import inroot
from podspace.node import envfile, fieldpath
from podspace.node.pod import Container, Pod

_FILE_BYTES = 1 << 20  # of a file of variables

Lookup = Callable[[str, str, str], JSON | None]  # (resource, namespace, name) -> object


class ConfigError(errors.PodspaceError):
    """The container cannot be configured; trying again helps once the missing object is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What variables may come from besides the Pod. ``volumes``: name -> host path."""

    lookup: Lookup
    node: fieldpath.NodeFacts
    pod_ips: tuple[str, ...]
    volumes: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    services: Mapping[str, str] = dataclasses.field(default_factory=dict)  # variables of services; the container's own win


def build(pod: Pod, container: Container, here: Surroundings) -> tuple[tuple[str, str], ...]:
    """Return the variables in order, a later one winning over an earlier one of the same name.  Raises: ConfigError."""
    variables: dict[str, str] = dict(here.services)
    for source in container.raw.get("envFrom") or ():
        variables.update(_from_source(pod, source, here.lookup))
    for item in container.raw.get("env") or ():
        value = _value(pod, container, item, variables, here)
        if value is not None:
            variables.pop(item["name"], None)
            variables[item["name"]] = value
    if bad := next((name for name, value in variables.items() if "\0" in name + value), None):
        raise ConfigError(f"environment variable {bad!r} holds a NUL byte, which no process can be given")
    return tuple(variables.items())


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` is a literal dollar; an unknown name stays as it stands."""
    return "".join(variables.get(name, f"$({name})") if name else literal for literal, name in _pieces(text))


def references(text: str) -> set[str]:
    """The names ``expand`` would look up."""
    return {name for _, name in _pieces(text) if name}


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text cut into (literal, "") and ("", name of a reference)."""
    at = 0
    while (dollar := text.find("$", at)) != -1 and dollar + 1 < len(text):
        yield text[at:dollar], ""
        following = text[dollar + 1]
        if following == "(" and (end := text.find(")", dollar)) > dollar + 2:
            yield "", text[dollar + 2 : end]
            at = end + 1
        else:
            yield "$" if following == "$" else "$" + following, ""
            at = dollar + 2
    yield text[at:], ""


def data_of(resource: str, obj: JSON) -> dict[str, bytes]:
    """The keys of a ConfigMap or Secret as bytes."""
    binary = obj.get("data" if resource == "secrets" else "binaryData") or {}
    data = {key: base64.b64decode(value) for key, value in binary.items()}
    return data if resource == "secrets" else data | _texts_of(obj)


def _texts_of(configmap: JSON) -> dict[str, bytes]:
    return {key: value.encode() for key, value in (configmap.get("data") or {}).items()}


def _values(resource: str, obj: JSON) -> dict[str, bytes]:
    """The keys that may become variables: a ConfigMap's binaryData may not."""
    return data_of(resource, obj) if resource == "secrets" else _texts_of(obj)


def _from_source(pod: Pod, source: JSON, lookup: Lookup) -> dict[str, str]:
    for field, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        reference = source.get(field)
        if reference is None:
            continue
        found = lookup(resource, pod.namespace, reference["name"])
        if found is None:
            if reference.get("optional"):
                return {}
            raise ConfigError(f'{_singular(resource)} "{reference["name"]}" not found')
        prefix = source.get("prefix") or ""
        return {prefix + key: value.decode(errors="replace") for key, value in sorted(_values(resource, found).items())}
    return {}


def _value(pod: Pod, container: Container, item: JSON, variables: Mapping[str, str], here: Surroundings) -> str | None:
    source = item.get("valueFrom")
    if source is None:
        return expand(item.get("value") or "", {**here.services, **variables})
    if field_ref := source.get("fieldRef"):
        return fieldpath.value(pod, field_ref["fieldPath"], here.node, here.pod_ips)
    if selector := source.get("resourceFieldRef"):
        return fieldpath.resource_value(pod, selector, container.name, here.node)
    for field_name, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if key_ref := source.get(field_name):
            return _from_key(pod, key_ref, resource, here.lookup)
    return _from_file(source["fileKeyRef"], here.volumes)


def _from_file(reference: JSON, volumes: Mapping[str, Path]) -> str | None:
    """Whoever wrote the file may have made it, or the way to it, a symlink: the kernel keeps us in the volume."""
    name, path, key = reference["volumeName"], reference["path"], reference["key"]
    if name not in volumes:
        raise ConfigError(f'cannot find the volume "{name}" referenced by FileKeyRef')
    text = inroot.read_text(volumes[name], path, limit_bytes=_FILE_BYTES)
    try:
        value = envfile.value(text, key)
    except envfile.BadLine as error:
        raise ConfigError(f"couldn't parse env file: {path} in volume {name}: {error}") from error
    if value or reference.get("optional"):
        return value or None
    raise ConfigError(f'environment variable key "{key}" not found in file "{path}" of volume {name}')


def _from_key(pod: Pod, key_ref: JSON, resource: str, lookup: Lookup) -> str | None:
    name, key = key_ref["name"], key_ref["key"]
    found = lookup(resource, pod.namespace, name)
    if found is None:
        if key_ref.get("optional"):
            return None
        raise ConfigError(f'{_singular(resource)} "{name}" not found')
    data = _values(resource, found)
    if key not in data:
        if key_ref.get("optional"):
            return None
        kind = "ConfigMap" if resource == "configmaps" else "Secret"
        raise ConfigError(f"couldn't find key {key} in {kind} {pod.namespace}/{name}")
    return data[key].decode(errors="replace")


def _singular(resource: str) -> str:
    return resource.removesuffix("s")
