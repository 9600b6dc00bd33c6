"""Whether the certificate and the key of a ``kubernetes.io/tls`` Secret belong together; said in a warning, never a reason to refuse.

Called by ``validation``. Pure; cryptography is imported no earlier than there is something to parse. Source: Go crypto/tls X509KeyPair,
whose sentences kubernetes pkg/registry/core/secret passes on.
"""

from __future__ import annotations

import base64
import binascii
import re

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n")
_MOST_BLOCKS = 100  # of a Secret that is all beginnings: each is looked for its end
_CERTIFICATE = b"CERTIFICATE"
_KEY = b"PRIVATE KEY"


def complaint(certificate: str, key: str) -> str:
    """What a server would say; "" if all is well. Both in base64, as in the Secret."""
    certificates, keys = (_blocks(_decoded(text)) for text in (certificate, key))
    if words := _certificate_missing([kind for kind, _ in certificates]) or _key_missing([kind for kind, _ in keys]):
        return f"tls: {words}"
    first = next(block for kind, block in certificates if kind == _CERTIFICATE)
    return _compared(first, next(block for kind, block in keys if kind.endswith(_KEY)))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def _blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and text of each PEM block."""
    found, position = [], 0
    for _ in range(_MOST_BLOCKS):
        begin = _BEGIN.search(data, position)
        if begin is None:
            break
        last = b"-----END " + begin[1] + b"-----"
        end = data.find(last, begin.end())
        position = begin.end() if end < 0 else end + len(last)
        if end >= 0:
            found.append((begin[1], data[begin.start() : position]))
    return found


def _certificate_missing(kinds: list[bytes]) -> str:
    if _CERTIFICATE in kinds:
        return ""
    if not kinds:
        return "failed to find any PEM data in certificate input"
    if len(kinds) == 1 and kinds[0].endswith(_KEY):
        return "failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
    return f'failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following types: {_listed(kinds)}'


def _key_missing(kinds: list[bytes]) -> str:
    if any(kind == _KEY or kind.endswith(b" " + _KEY) for kind in kinds):
        return ""
    if not kinds:
        return "failed to find any PEM data in key input"
    if kinds == [_CERTIFICATE]:
        return "found a certificate rather than a key in the PEM for the private key"
    words = 'failed to find PEM block with type ending in "PRIVATE KEY" in key input'
    return f"{words} after skipping PEM blocks of the following types: {_listed(kinds)}"


def _listed(kinds: list[bytes]) -> str:
    """As Go prints a slice."""
    return f"[{b' '.join(kinds).decode()}]"


def _compared(certificate: bytes, key: bytes) -> str:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    own = private.public_key()
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "" if own.public_bytes(*form) == public.public_bytes(*form) else "tls: private key does not match public key"
