"""What the user's words mean: ``pods``, ``pod nginx``, ``pod/nginx cm/x``, ``pods,cm``, ``all``. And where such objects live on the server.

Called by get, describe, delete and apply. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podspace.cli import client, failure
from podspace.kube import resources
from podspace.kube.json import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A collection, or with ``name`` one object."""

    resource: resources.Resource
    name: str = ""

    @property
    def label(self) -> str:
        """``pod/nginx``, ``lease.coordination.k8s.io/x``: as commands print what they did."""
        return f"{prefix(self.resource)}/{self.name}"


def prefix(resource: resources.Resource) -> str:
    return f"{resource.singular}.{resource.group}" if resource.group else resource.singular


def targets(arguments: Sequence[str]) -> list[Target]:
    """Raises: failure.Failure for unknown kinds and mixed forms."""
    if not arguments:
        raise failure.Failure("You must specify the type of resource to get, for example: pods")
    if any("/" in argument for argument in arguments):
        return [_slashed(argument) for argument in arguments]
    kinds = [resource for word in arguments[0].split(",") if word for resource in _kinds(word)]
    if len(arguments) == 1:
        return [Target(resource=resource) for resource in kinds]
    return [Target(resource=resource, name=name) for resource in kinds for name in arguments[1:]]


def of_object(obj: JSON, source: str) -> Target:
    """The target a manifest describes. Raises: failure.Failure naming the file."""
    kind, api_version = obj.get("kind"), obj.get("apiVersion")
    if not kind or not api_version:
        missing = "kind" if not kind else "apiVersion"
        raise failure.Failure(f'error validating "{source}": error validating data: {missing} not set')
    group, _, version = str(api_version).rpartition("/")
    for resource in resources.RESOURCES:
        if (resource.kind, resource.group, resource.version) == (kind, group, version):
            return Target(resource=resource, name=(obj.get("metadata") or {}).get("name") or "")
    message = f'resource mapping not found for name: "{(obj.get("metadata") or {}).get("name", "")}" from "{source}": '
    raise failure.Failure(f'{message}no matches for kind "{kind}" in version "{api_version}"')


def none_found(target: Target, namespace: str) -> str:
    """What is said when a list is empty; ``namespace`` "" = all were looked in."""
    return f"No resources found in {namespace} namespace." if namespace and target.resource.namespaced else "No resources found"


def path(target: Target, namespace: str, subresource: str = "") -> str:
    """The API path; ``namespace`` "" = all of them."""
    resource = target.resource
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if resource.namespaced and namespace:
        base += f"/namespaces/{client.quote(namespace)}"
    parts = [base, resource.plural, *((client.quote(target.name),) if target.name else ()), *((subresource,) if subresource else ())]
    return "/".join(parts)


def _slashed(argument: str) -> Target:
    kind, slash, name = argument.partition("/")
    if not slash or not kind or not name or "/" in name:
        raise failure.Failure(
            "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form"
        )
    [resource] = _kinds(kind)
    return Target(resource=resource, name=name)


def _kinds(word: str) -> list[resources.Resource]:
    if word == "all":
        return [resource for resource in resources.RESOURCES if "all" in resource.categories]
    resource = resources.by_name(word) or resources.by_name(word.split(".")[0])
    if resource is None or "get" not in resource.verbs:
        raise failure.Failure(f'the server doesn\'t have a resource type "{word}"')
    return [resource]
