"""Which server, and who we are there: reads a kubeconfig, ours (JSON) without PyYAML and any other with it.

Called by every command that talks to a server. Makes no connection.
Source: kubernetes.io "Organizing Cluster Access Using kubeconfig Files".
"""

from __future__ import annotations

import binascii
import json
import os

from podspace.cli import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podspace.cli import flags
    from podspace.kube.json import JSON

SYSTEM = "/etc/podspace/kubeconfig"
SOCKET_EXTENSION = "podspace.io/socket"  # as podspace.certificates writes it; not imported from there, it is heavy


class Cluster:
    """A server and our credentials. PEM texts are bytes, b"" = none."""

    __slots__ = ("ca", "client_certificate", "client_key", "insecure", "namespace", "server", "server_name", "socket", "token")

    def __init__(self, cluster: JSON, user: JSON, namespace: str, folder: str) -> None:
        self.server = str(cluster.get("server") or "").rstrip("/")
        self.server_name = str(cluster.get("tls-server-name") or "")
        self.insecure = bool(cluster.get("insecure-skip-tls-verify"))
        self.socket = _socket(cluster)
        self.ca = _data(cluster, "certificate-authority", folder)
        self.client_certificate = _data(user, "client-certificate", folder)
        self.client_key = _data(user, "client-key", folder)
        self.token = str(user.get("token") or "") or _data(user, "tokenFile", folder).decode().strip()
        self.namespace = namespace


def load(options: flags.Options) -> Cluster:
    """The cluster of the chosen context. Raises: failure.Failure."""
    path = find(options)
    config = _read(path)
    name = options.text("context") or config.get("current-context") or ""
    context = _named(config, "contexts", "context", name)
    if context is None:
        raise failure.Failure(f'context "{name}" does not exist in {path}')
    cluster = _named(config, "clusters", "cluster", context.get("cluster"))
    if cluster is None or not cluster.get("server"):
        raise failure.Failure(f'context "{name}" of {path} names no cluster with a server')
    user = _named(config, "users", "user", context.get("user")) or {}
    namespace = options.text("namespace") or context.get("namespace") or "default"
    return Cluster(cluster, user, namespace, os.path.dirname(path))


def find(options: flags.Options) -> str:
    """The file: --kubeconfig, --root, the first of $KUBECONFIG that is there, $PODSPACE_ROOT's, the system's, ~/.kube/config."""
    if options.given("kubeconfig"):
        return options.text("kubeconfig")
    if options.given("root"):
        return os.path.join(options.text("root"), "etc/kubeconfig")
    candidates = [path for path in os.environ.get("KUBECONFIG", "").split(":") if path]
    if not candidates:  # files that were named and are not there do not mean another server
        root = os.environ.get("PODSPACE_ROOT")
        candidates = [os.path.join(root, "etc/kubeconfig") if root else SYSTEM, os.path.expanduser("~/.kube/config")]
    for path in candidates:
        if os.access(path, os.R_OK):
            return path
    raise failure.Failure(
        f"no kubeconfig found ({', '.join(candidates)}): is `podspace serve` running? Name its file with --kubeconfig or $KUBECONFIG"
    )


def _read(path: str) -> JSON:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise failure.Failure(f"kubeconfig {path}: {error.strerror}") from None
    try:
        config = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except ValueError as error:
        raise failure.Failure(f"kubeconfig {path}: {error}") from None
    if not isinstance(config, dict):
        raise failure.Failure(f"kubeconfig {path}: holds no configuration")
    return config


def _yaml(text: str) -> object:
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _named(config: JSON, section: str, member: str, name: object) -> JSON | None:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            found: JSON = entry.get(member) or {}
            return found
    return None


def _data(section: JSON, name: str, folder: str) -> bytes:
    """``<name>-data`` in base64, else the file ``<name>`` names, relative to the kubeconfig."""
    inline = section.get(f"{name}-data")
    if inline:
        try:
            return binascii.a2b_base64(str(inline))
        except binascii.Error:
            raise failure.Failure(f"kubeconfig: {name}-data is not base64") from None
    path = section.get(name)
    if not path:
        return b""
    try:
        with open(os.path.join(folder, str(path)), "rb") as file:
            return file.read()
    except OSError as error:
        raise failure.Failure(f"kubeconfig: {name} {path}: {error.strerror}") from None


def _socket(cluster: JSON) -> str:
    extension = _named(cluster, "extensions", "extension", SOCKET_EXTENSION)
    return str((extension or {}).get("path") or "")
