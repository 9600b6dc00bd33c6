"""Who to be at a registry: credentials from the caller (imagePullSecrets) and from the machine's files.

Files are containers-auth.json(5) and docker's config.json, which have one format. Called by ``image.service``; ``node`` builds
``Credential`` from Secrets with ``parse_config``. Secrets stay inside ``Credential``, whose repr does not show them; nothing is logged.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podspace import errors

_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "docker.io", "registry.hub.docker.com"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """``scope`` is what it is good for: a host, or host/path; "*.example.com" stands for one label. "" = any registry."""

    scope: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # OAuth2 refresh token, instead of a password
    registry_token: str = field(default="", repr=False)  # bearer token for the registry itself, instead of either


def parse_config(config: Mapping[str, Any]) -> tuple[Credential, ...]:
    """Return what ``{"auths": {scope: {"auth": base64(user:password)} | {"username", "password"} | {"identitytoken"}}}`` holds.

    ``registrytoken`` is known too. Entries that make no sense are passed over, as a kubelet does.
    """
    auths = config.get("auths")
    if not isinstance(auths, Mapping):
        return ()
    parsed = (_credential(scope, entry) for scope, entry in auths.items() if isinstance(entry, Mapping))
    return tuple(credential for credential in parsed if credential is not None)


def default_files(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The places of containers-auth.json(5), first one wins."""
    env = os.environ if environment is None else environment
    if explicit := env.get("REGISTRY_AUTH_FILE"):
        return (Path(explicit),)
    home = Path(env.get("HOME") or "/root")
    runtime_dir = env.get("XDG_RUNTIME_DIR")
    return (
        Path(runtime_dir) / "containers/auth.json" if runtime_dir else Path(f"/run/containers/{os.getuid()}/auth.json"),
        Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json",
        Path(env.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
    )


def read_files(files: Iterable[Path]) -> tuple[Credential, ...]:
    """Return the credentials of the files that exist, in order. Raises: BadRequest when one is not JSON (its content is not shown)."""
    found: list[Credential] = []
    for file in files:
        try:
            text = file.read_text()
        except OSError:
            continue
        try:
            config = json.loads(text)
        except (ValueError, RecursionError):
            raise errors.BadRequest(f"credentials file {file} is not JSON") from None  # the cause would quote a secret
        if isinstance(config, Mapping):
            found += parse_config(config)
    return tuple(found)


def matching(repository: str, credentials: Sequence[Credential]) -> list[Credential]:
    """Return those good for ``repository`` ("docker.io/library/busybox"), the longest scope first, else in the order given."""
    fitting = [credential for credential in credentials if _covers(credential.scope, repository)]
    return sorted(fitting, key=lambda credential: -len(credential.scope))


def _credential(key: object, entry: Mapping[str, Any]) -> Credential | None:
    scope = _scope(str(key))
    username, password = entry.get("username"), entry.get("password")
    if not (username and password):
        username, password = _decode(entry.get("auth"))
    token = entry.get("registrytoken")
    if isinstance(token, str) and token:
        return Credential(scope=scope, registry_token=token)
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential(scope=scope, username=str(username or ""), identity_token=token)
    if isinstance(username, str) and isinstance(password, str) and username:
        return Credential(scope=scope, username=username, password=password)
    return None


def _decode(auth: object) -> tuple[str, str]:
    if not isinstance(auth, str):
        return "", ""
    try:
        username, _, password = base64.b64decode(auth, validate=False).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return username, password.rstrip("\0")


def _scope(key: str) -> str:
    """``https://index.docker.io/v1/`` -> ``docker.io``: schemes and API versions are habits of old clients."""
    bare = key.split("://", 1)[-1].rstrip("/")
    for version in ("/v1", "/v2"):
        bare = bare.removesuffix(version)
    host, slash, path = bare.partition("/")
    return ("docker.io" if host in _DOCKER_HUB else host) + slash + path


def _covers(scope: str, repository: str) -> bool:
    if not scope:
        return True
    host, _, path = repository.partition("/")
    scope_host, _, scope_path = scope.partition("/")
    return _host_covers(scope_host, host) and (not scope_path or path == scope_path or path.startswith(scope_path + "/"))


def _host_covers(pattern: str, host: str) -> bool:
    if pattern == host:
        return True
    patterns, labels = pattern.split("."), host.split(".")
    return "*" in pattern and len(patterns) == len(labels) and all(map(fnmatch.fnmatchcase, labels, patterns))
