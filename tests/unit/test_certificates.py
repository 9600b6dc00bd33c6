"""The server's certificates: made once, kept, renewed when they must be; and the kubeconfig made of them."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import oid

from podspace import certificates, errors

NOW = 1_900_000_000.0
YEAR = 365 * certificates.DAY_SECONDS
LISTEN = "127.0.0.1:6443"


def made(folder: Path, *, listen: str = LISTEN, now: float = NOW) -> certificates.Paths:
    return certificates.ensure(folder / "pki", listen=listen, now=now)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_admin_is_a_master(tmp_path: Path) -> None:
    subject = load(made(tmp_path).client).subject
    assert subject.get_attributes_for_oid(oid.NameOID.COMMON_NAME)[0].value == "podspace-admin"
    assert subject.get_attributes_for_oid(oid.NameOID.ORGANIZATION_NAME)[0].value == "system:masters"


def test_the_server_answers_to_all_its_names(tmp_path: Path) -> None:
    names = load(made(tmp_path, listen="192.0.2.7:6443").server).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes.default.svc", socket.gethostname()} <= set(names.get_values_for_type(x509.DNSName))
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.0.2.7"]


def test_leaves_are_signed_by_the_ca(tmp_path: Path) -> None:
    paths = made(tmp_path)
    for leaf in (paths.server, paths.client):
        load(leaf).verify_directly_issued_by(load(paths.ca))


def test_keys_are_for_root_only(tmp_path: Path) -> None:
    paths = made(tmp_path)
    assert [path.stat().st_mode & 0o777 for path in (paths.ca_key, paths.server_key, paths.client_key)] == [0o600] * 3


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in made(tmp_path).files()}
    assert {path: path.read_bytes() for path in made(tmp_path).files()} == before


@pytest.mark.parametrize("change", [{"now": NOW + 2.5 * YEAR}, {"listen": "192.0.2.7:6443"}])
def test_leaves_are_renewed_under_the_same_ca(tmp_path: Path, change: dict[str, object]) -> None:
    paths = made(tmp_path)
    ca, server = paths.ca.read_bytes(), paths.server.read_bytes()
    made(tmp_path, **change)  # type: ignore[arg-type]  # one of two keyword arguments
    assert paths.ca.read_bytes() == ca
    assert paths.server.read_bytes() != server


def test_a_ca_about_to_end_is_replaced(tmp_path: Path) -> None:
    ca = made(tmp_path).ca.read_bytes()
    assert made(tmp_path, now=NOW + 9 * YEAR).ca.read_bytes() != ca


def test_a_lost_key_is_made_again(tmp_path: Path) -> None:
    paths = made(tmp_path)
    paths.client_key.unlink()
    made(tmp_path)
    assert paths.client_key.exists()


def test_openssl_takes_them(tmp_path: Path) -> None:
    assert certificates.server_context(made(tmp_path)).verify_mode is ssl.CERT_OPTIONAL


def test_the_kubeconfig_names_server_and_socket(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "kubeconfig"
    certificates.write_kubeconfig(path, made(tmp_path), server="https://127.0.0.1:6443", socket_path=Path("/run/x.sock"))
    cluster = json.loads(path.read_text())["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:6443"
    assert cluster["extensions"] == [{"name": "podspace.io/socket", "extension": {"path": "/run/x.sock"}}]
    assert path.stat().st_mode & 0o777 == 0o600


def test_our_own_kubeconfig_is_replaced_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    paths, path = made(tmp_path), tmp_path / "config"
    certificates.write_kubeconfig(path, paths, server="https://127.0.0.1:1")
    certificates.write_kubeconfig(path, paths, server="https://127.0.0.1:2")
    path.write_text("apiVersion: v1\nusers: []\n")
    with pytest.raises(errors.FailedPrecondition, match="--kubeconfig"):
        certificates.write_kubeconfig(path, paths, server="https://127.0.0.1:3")
    assert path.read_text() == "apiVersion: v1\nusers: []\n"


@pytest.mark.parametrize(
    ("listen", "expected"), [("127.0.0.1:6443", ("127.0.0.1", 6443)), ("[::1]:80", ("::1", 80)), (":0", ("", 0)), ("box:1", ("box", 1))]
)
def test_listen_is_host_and_port(listen: str, expected: tuple[str, int]) -> None:
    assert certificates.split_listen(listen) == expected


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "https://127.0.0.1:1"),
        ("", "https://127.0.0.1:1"),
        ("::", "https://[::1]:1"),
        ("::1", "https://[::1]:1"),
        ("box", "https://box:1"),
    ],
)
def test_a_client_here_reaches_wildcards_by_loopback(host: str, url: str) -> None:
    assert certificates.server_url(host, 1) == url


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:http", "x:70000"])
def test_a_bad_listen_is_refused_by_its_flag_name(listen: str) -> None:
    with pytest.raises(errors.BadRequest, match="--listen"):
        certificates.split_listen(listen)


def test_an_ordinary_start_does_not_import_cryptography(tmp_path: Path) -> None:
    made(tmp_path)
    code = f"""
import sys, pathlib
from podspace import certificates
certificates.ensure(pathlib.Path({str(tmp_path / "pki")!r}), listen={LISTEN!r}, now={NOW})
print("cryptography" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
