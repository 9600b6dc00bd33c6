"""The server's identity: a CA of its own, a server and an admin certificate, and the kubeconfig that carries them.

Called by ``daemon`` before it listens; ``api`` gets ``Paths`` or ``server_context``. Knows nothing of Pods. Files are made once and
kept: the kubeconfig in somebody's hands must outlive the server. ``state.json`` says what the certificates hold, so that an ordinary
start need not import cryptography (40 ms).
Source: RFC 5280; kubernetes.io "Authenticating": CN is the user, each O a group of a client certificate.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podspace import errors

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS = 3650
LEAF_DAYS = 1095
RENEW_DAYS = 365  # looked at when the server starts, and servers run for months
ADMIN = "podspace-admin"
ADMIN_GROUP = "system:masters"
SOCKET_EXTENSION = "podspace.io/socket"  # under clusters[].cluster.extensions of a kubeconfig: {"path": "/run/.../api.sock"}
CLUSTER = "podspace"
ALWAYS_HOSTS = ("localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
DAY_SECONDS = 86400

if TYPE_CHECKING:
    Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the PEM files are. Keys are readable by root only."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def server(self) -> Path:
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client(self) -> Path:
        return self.folder / "admin.crt"

    @property
    def client_key(self) -> Path:
        return self.folder / "admin.key"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    def files(self) -> tuple[Path, ...]:
        return self.ca, self.ca_key, self.server, self.server_key, self.client, self.client_key


def split_listen(listen: str) -> tuple[str, int]:
    """``127.0.0.1:6443`` or ``[::1]:6443`` to host and port. Raises: errors.BadRequest."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise errors.BadRequest(f"--listen {listen}: expected HOST:PORT, such as 127.0.0.1:6443")
    return host.strip("[]"), int(port)


def hosts_for(listen_host: str, node_ip: str = "") -> tuple[str, ...]:
    """Names and addresses the server answers to; by a wildcard address it answers to the machine's own."""
    wildcard = listen_host in ("", "0.0.0.0", "::")
    own = node_ip if wildcard else listen_host
    return tuple(dict.fromkeys((*ALWAYS_HOSTS, socket.gethostname(), *((own,) if own else ()))))


def server_url(host: str, port: int) -> str:
    """Where a client on this machine finds the server: a wildcard address is reached by loopback."""
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"https://[{reachable}]:{port}" if ":" in reachable else f"https://{reachable}:{port}"


def ensure(folder: Path, *, listen: str, node_ip: str = "", now: float | None = None) -> Paths:
    """Return certificates good for ``listen`` (HOST:PORT) and for a year from ``now`` (Unix seconds); make what is missing.

    ``node_ip``: where Pods find a server that listens everywhere.
    The CA, once made, stays (10 years); leaf certificates are renewed under it.  Raises: errors.BadRequest (listen).
    """
    paths = Paths(folder=folder)
    hosts = hosts_for(split_listen(listen)[0], node_ip)
    now = time.time() if now is None else now
    if not _good(paths, hosts, now):
        _make(paths, hosts, now)
    return paths


def server_context(paths: Paths) -> ssl.SSLContext:
    """TLS for the server: a client certificate is asked for, not demanded, so that its lack is a 401 and not a dead connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(paths.server, paths.server_key)
    context.load_verify_locations(paths.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def write_kubeconfig(path: Path, paths: Paths, *, server: str, socket_path: Path | None = None) -> None:
    """Write the admin's kubeconfig (0600, atomically). JSON is YAML: our own client then reads it without PyYAML.

    server: ``https://127.0.0.1:6443``. Raises: errors.FailedPrecondition when ``path`` holds a kubeconfig that is not ours.
    """
    check_kubeconfig(path)
    write_file(path, (json.dumps(kubeconfig(paths, server=server, socket_path=socket_path), indent=2) + "\n").encode(), 0o600)


def check_kubeconfig(path: Path) -> None:
    """Whether ``write_kubeconfig`` may; makes its folder. Raises: errors.FailedPrecondition."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ours = _ours(path)
    except OSError as error:
        raise errors.FailedPrecondition(
            f"cannot write the kubeconfig {path}: {error.strerror}; name another file with --kubeconfig"
        ) from error
    if not ours:
        raise errors.FailedPrecondition(f"{path} holds a kubeconfig of something else: remove it, or name another file with --kubeconfig")


def kubeconfig(paths: Paths, *, server: str, socket_path: Path | None = None) -> dict[str, Any]:
    """The kubeconfig as JSON; kubectl passes over the extension that names the local socket."""
    cluster: dict[str, Any] = {"server": server, "certificate-authority-data": _base64(paths.ca)}
    if socket_path is not None:
        cluster["extensions"] = [{"name": SOCKET_EXTENSION, "extension": {"path": str(socket_path)}}]
    user = {"client-certificate-data": _base64(paths.client), "client-key-data": _base64(paths.client_key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": cluster}],
        "users": [{"name": ADMIN, "user": user}],
        "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": ADMIN}}],
        "current-context": CLUSTER,
    }


def _good(paths: Paths, hosts: Sequence[str], now: float) -> bool:
    try:
        state = json.loads(paths.state.read_text())
        fresh = state["not_after"] - now > RENEW_DAYS * DAY_SECONDS
        return fresh and set(hosts) <= set(state["hosts"]) and all(path.exists() for path in paths.files())
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return False


def _make(paths: Paths, hosts: Sequence[str], now: float) -> None:
    """Write leaf certificates, the CA first if need be; ``state.json`` comes last: killed before it, the next start does all again."""
    from cryptography.x509 import oid

    paths.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _load_authority(paths, now) or _make_authority(paths, now)
    usage = oid.ExtendedKeyUsageOID
    _make_leaf(authority, paths.server, paths.server_key, CLUSTER, "", usage.SERVER_AUTH, hosts, now)
    _make_leaf(authority, paths.client, paths.client_key, ADMIN, ADMIN_GROUP, usage.CLIENT_AUTH, (), now)
    state = {"not_after": now + LEAF_DAYS * DAY_SECONDS, "hosts": list(hosts)}
    write_file(paths.state, json.dumps(state).encode(), 0o644)


def _load_authority(paths: Paths, now: float) -> Authority | None:
    """The CA of an earlier start, unless it is damaged or would end before the leaves do."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        certificate = x509.load_pem_x509_certificate(paths.ca.read_bytes())
        key = serialization.load_pem_private_key(paths.ca_key.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    lasts = certificate.not_valid_after_utc.timestamp() > now + LEAF_DAYS * DAY_SECONDS
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key() or not lasts:
        return None
    return certificate, key


def _make_authority(paths: Paths, now: float) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"podspace-ca@{int(now)}", "")
    builder = _builder(name, name, key, now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    _write_pair(paths.ca, paths.ca_key, certificate, key)
    return certificate, key


def _make_leaf(
    authority: Authority,
    path: Path,
    key_path: Path,
    common: str,
    group: str,
    usage: x509.ObjectIdentifier,
    hosts: Sequence[str],
    now: float,
) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate, signer = authority
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common, group), certificate.subject, key, now, LEAF_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
    _write_pair(path, key_path, builder.sign(signer, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: float, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    # An hour back: a client's clock may be behind ours.
    return builder.not_valid_before(start - datetime.timedelta(hours=1)).not_valid_after(start + datetime.timedelta(days=days))


def _name(common: str, group: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509 import oid

    attributes = [x509.NameAttribute(oid.NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*attributes, x509.NameAttribute(oid.NameOID.COMMON_NAME, common)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_pair(path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_file(key_path, private, 0o600)
    write_file(path, certificate.public_bytes(pem), 0o644)


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Replace a file in one step; it never exists with wider rights or half its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _ours(path: Path) -> bool:
    """Whether the file may be replaced: it is not there, empty, or one that ``write_kubeconfig`` wrote."""
    try:
        text = path.read_text()
        return not text.strip() or [user["name"] for user in json.loads(text)["users"]] == [ADMIN]
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):
        return False
