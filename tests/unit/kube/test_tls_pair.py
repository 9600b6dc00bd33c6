"""What is said of a certificate and a key that do not belong together."""

from __future__ import annotations

import base64
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podspace.kube import tls_pair, validation


def _pair() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name, start = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return base64.b64encode(certificate.public_bytes(pem)).decode(), base64.b64encode(private).decode()


def test_a_pair_that_fits_is_no_matter() -> None:
    assert tls_pair.complaint(*_pair()) == ""


def test_what_does_not_fit_is_told_in_gos_words() -> None:
    (certificate, key), (other, _) = _pair(), _pair()
    assert tls_pair.complaint(other, key) == "tls: private key does not match public key"
    assert "PEM inputs may have been switched" in tls_pair.complaint(key, certificate)
    assert tls_pair.complaint(certificate, certificate).endswith("found a certificate rather than a key in the PEM for the private key")
    assert tls_pair.complaint("", key) == "tls: failed to find any PEM data in certificate input"
    garbage = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n").decode()
    assert tls_pair.complaint(garbage, key) == "x509: malformed certificate"


def test_a_secret_of_beginnings_alone_is_no_work() -> None:
    hostile = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n" * 40_000).decode()
    assert tls_pair.complaint(hostile, hostile) == "tls: failed to find any PEM data in certificate input"


def test_a_secret_of_that_type_is_warned_of() -> None:
    secret = {"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ==", "tls.key": "YQ=="}}
    assert validation.warnings("Secret", secret) == ["tls: failed to find any PEM data in certificate input"]
    assert validation.warnings("Secret", {**secret, "type": "Opaque"}) == []
