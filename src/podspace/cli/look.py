"""The two ways to look into a Pod: what ps, top, signal, files, audit, why and debug ask, whoever answers.

``ServerLook`` asks podspace's own API. ``cluster_look.ClusterLook`` gets there on any cluster, by an ephemeral container. ``choose`` says
which. Answers are the JSON of ``lens.podspace.io`` either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from podspace.cli import client, failure, flags, pods
from podspace.kube.json import JSON

GROUP = "/apis/lens.podspace.io/v1"
THROUGH = flags.Flag(
    "through", takes="WAY", help="api: podspace's own; container: an ephemeral container, as on any cluster (default: what is there)"
)
IMAGE = flags.Flag("lens-image", takes="IMAGE", default="busybox:1.36", help="on a cluster: an image with busybox's sh and tools")
FLAGS = (THROUGH, IMAGE)


class Look(Protocol):
    """A look into one Pod at a time. All raise failure.Failure, in the server's words where it refused.

    ``leaves_traces``: looking adds something to the Pod.
    """

    leaves_traces: bool

    def processes(self, pod: str, *, threads: bool = False, namespaces: bool = False) -> JSON:
        """``PodProcesses``."""

    def signal(self, pod: str, spec: JSON) -> JSON:
        """``PodSignal`` with its status."""

    def files(self, pod: str, container: str, path: str, *, depth: int) -> JSON:
        """``PodFiles``."""

    def content(self, pod: str, container: str, path: str, *, archive: bool) -> Iterator[bytes]:
        """A plain file, or a tar of a file or folder."""

    def changes(self, pod: str, container: str, path: str) -> JSON:
        """``PodChanges``."""

    def audit(self, pod: str) -> JSON:
        """``PodAudit`` of what runs."""

    def review(self, pod: JSON) -> JSON:
        """``PodAudit`` of a manifest."""

    def why(self, pod: str) -> JSON:
        """``PodDiagnosis``."""


def choose(options: flags.Options, api: client.Client) -> Look:
    """The way the user named, else podspace's own API where it is served.  Raises: failure.Failure."""
    way = options.text("through")
    if way not in ("", "api", "container"):
        raise failure.Usage("--through takes api or container", options.command)
    # A kubeconfig that names podspace's socket needs no question to be known for one.
    if way == "api" or (not way and (api.cluster.socket or _served(api))):
        return ServerLook(api)
    from podspace.cli.cluster_look import ClusterLook

    return ClusterLook(api, image=options.text("lens-image"))


def _served(api: client.Client) -> bool:
    try:
        api.get(GROUP)
    except failure.ServerFailure as error:
        if error.code in (403, 404):
            return False
        raise
    return True


class ServerLook:
    """By podspace's own API."""

    leaves_traces = False

    def __init__(self, api: client.Client) -> None:
        self._api = api

    def processes(self, pod: str, *, threads: bool = False, namespaces: bool = False) -> JSON:
        pairs = [(name, "true") for name, on in (("threads", threads), ("namespaces", namespaces)) if on]
        return self._api.get(self._path(pod, "processes", pairs))

    def signal(self, pod: str, spec: JSON) -> JSON:
        return self._api.request("POST", self._path(pod, "signal"), {"spec": spec})

    def files(self, pod: str, container: str, path: str, *, depth: int) -> JSON:
        return self._api.get(self._path(pod, "files", [("container", container), ("path", path), ("depth", str(depth))]))

    def content(self, pod: str, container: str, path: str, *, archive: bool) -> Iterator[bytes]:
        pairs = [("container", container), ("path", path), *([("archive", "true")] if archive else [])]
        return self._api.stream(self._path(pod, "content", pairs), accept="*/*").chunks()

    def changes(self, pod: str, container: str, path: str) -> JSON:
        return self._api.get(self._path(pod, "changes", [("container", container), ("path", path)]))

    def audit(self, pod: str) -> JSON:
        return self._api.get(self._path(pod, "audit"))

    def review(self, pod: JSON) -> JSON:
        path = f"{GROUP}/namespaces/{client.quote(self._api.cluster.namespace)}/podaudits"
        return self._api.request("POST", path, {"spec": {"pod": pod}})

    def why(self, pod: str) -> JSON:
        return self._api.get(self._path(pod, "why"))

    def _path(self, pod: str, subresource: str, pairs: list[tuple[str, str]] | None = None) -> str:
        place = f"{GROUP}/namespaces/{client.quote(self._api.cluster.namespace)}/pods/{client.quote(pods.name_of(pod))}"
        return f"{place}/{subresource}{client.query(pairs or [])}"
