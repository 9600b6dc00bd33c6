"""ServiceAccount tokens: who made them, for whom, how long they hold; signed with a key of this server.

``api`` issues them (TokenRequest) and lets who brings one in, ``node`` puts them into Pods (projected volumes); ``daemon`` makes the one
``Signer`` both share. It knows JWTs, not whether an account or a Pod still exists: whoever verifies looks that up. The key is made at
the first use and cryptography (40 ms) imported no earlier.
Source: RFC 7515 and 7518 (ES256); KEP-1205 (bound tokens), KEP-4193 (jti, node).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podspace import certificates, errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://kubernetes.default.svc"
DEFAULT_AUDIENCE = ISSUER
DEFAULT_SECONDS = 3600
LEAST_SECONDS = 600
MOST_SECONDS = 1 << 32
ALGORITHM = "ES256"
KEY_FILE = "sa.key"
_NUMBER_BYTES = 32  # of r and s, and of a point's coordinates
_KNOWN_TOKENS = 4096
_LEEWAY_SECONDS = 10  # the clock may have been set back meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An object a token speaks of."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says. Times in Unix seconds; ``pod``, ``secret``: what it is bound to (one of them, or neither); ``node``: the Pod's."""

    namespace: str
    account: Reference
    audiences: tuple[str, ...]
    issued_at: int
    expires_at: int
    token_id: str
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None

    @property
    def username(self) -> str:
        return username(self.namespace, self.account.name)


def username(namespace: str, account: str) -> str:
    """``system:serviceaccount:default:web``, as reviews and refusals name an account."""
    return f"system:serviceaccount:{namespace}:{account}"


def groups(namespace: str) -> tuple[str, ...]:
    """The groups every account of a namespace is in."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"


class Signer:
    """Signs and verifies with the key in a folder. Cheap to make; used from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE
        self._read = functools.lru_cache(maxsize=_KNOWN_TOKENS)(self._verified)

    def issue(
        self,
        namespace: str,
        account: Reference,
        *,
        now: float,
        seconds: int = DEFAULT_SECONDS,
        audiences: Sequence[str] = (DEFAULT_AUDIENCE,),
        pod: Reference | None = None,
        secret: Reference | None = None,
        node: Reference | None = None,
    ) -> tuple[str, Claims]:
        """A new token, and what it says.  Raises: OSError if the key cannot be made."""
        claims = Claims(
            namespace=namespace,
            account=account,
            audiences=tuple(audiences) or (DEFAULT_AUDIENCE,),
            issued_at=int(now),
            expires_at=int(now) + seconds,
            token_id=str(uuid.uuid4()),
            pod=pod,
            secret=secret,
            node=node,
        )
        return self._signed(_payload(claims)), claims

    def verify(self, token: str, *, now: float, audiences: Sequence[str] = (DEFAULT_AUDIENCE,)) -> Claims:
        """What a token of ours says, if it holds now and for one of the audiences; whether its account lives is for the caller to see.

        Raises: errors.Unauthorized with the reason.
        """
        claims = self._read(token)
        if claims is None:
            raise errors.Unauthorized("invalid bearer token")
        if not claims.issued_at - _LEEWAY_SECONDS <= now < claims.expires_at:
            raise errors.Unauthorized("service account token has expired")
        if not set(claims.audiences) & set(audiences):
            raise errors.Unauthorized(f"token audiences {list(claims.audiences)} is invalid for the target audiences {list(audiences)}")
        return claims

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set (``/openid/v1/jwks``)."""
        point = self._key.public_key().public_numbers()
        coordinates = {name: _encoded(value.to_bytes(_NUMBER_BYTES, "big")) for name, value in (("x", point.x), ("y", point.y))}
        return {"keys": [{"use": "sig", "kty": "EC", "kid": self._key_id, "crv": "P-256", "alg": ALGORITHM, **coordinates}]}

    def _signed(self, payload: Mapping[str, Any]) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        head = _encoded(_json({"alg": ALGORITHM, "kid": self._key_id}))
        text = f"{head}.{_encoded(_json(payload))}"
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encoded(r.to_bytes(_NUMBER_BYTES, 'big') + s.to_bytes(_NUMBER_BYTES, 'big'))}"

    def _verified(self, token: str) -> Claims | None:
        """The claims if the signature is ours, whatever they say; None if not. Remembered: a client sends its token with each request."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        text, _, signature = token.rpartition(".")
        head, _, payload = text.partition(".")
        try:
            raw = _decoded(signature)
            if json.loads(_decoded(head)).get("alg") != ALGORITHM or len(raw) != 2 * _NUMBER_BYTES:
                return None
            r, s = int.from_bytes(raw[:_NUMBER_BYTES], "big"), int.from_bytes(raw[_NUMBER_BYTES:], "big")
            self._key.public_key().verify(utils.encode_dss_signature(r, s), text.encode(), ec.ECDSA(hashes.SHA256()))
            return _claims(json.loads(_decoded(payload)))
        except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # anybody may send anything
            return None

    @functools.cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        """The key of an earlier start; a new one if there is none or it is damaged, and then no earlier token holds any more."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = serialization.load_pem_private_key(self._path.read_bytes(), None)
            if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
                return key
        except (FileNotFoundError, ValueError):
            pass
        fresh = ec.generate_private_key(ec.SECP256R1())
        pem = fresh.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        certificates.write_file(self._path, pem, 0o600)
        return fresh

    @functools.cached_property
    def _key_id(self) -> str:
        from cryptography.hazmat.primitives import serialization

        encoding, kind = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return _encoded(hashlib.sha256(self._key.public_key().public_bytes(encoding, kind)).digest())


def _payload(claims: Claims) -> dict[str, Any]:
    private: dict[str, Any] = {"namespace": claims.namespace}
    for kind in ("node", "pod", "secret"):
        if (reference := getattr(claims, kind)) is not None:
            private[kind] = {"name": reference.name, "uid": reference.uid}
    private["serviceaccount"] = {"name": claims.account.name, "uid": claims.account.uid}
    return {
        "aud": list(claims.audiences),
        "exp": claims.expires_at,
        "iat": claims.issued_at,
        "iss": ISSUER,
        "jti": claims.token_id,
        "kubernetes.io": private,
        "nbf": claims.issued_at,
        "sub": claims.username,
    }


def _claims(payload: Mapping[str, Any]) -> Claims:
    """Raises: KeyError, TypeError, ValueError for what we would not have written."""
    private = payload["kubernetes.io"]
    if payload["iss"] != ISSUER:
        raise ValueError("of another issuer")
    bound = {kind: Reference(**private[kind]) for kind in ("node", "pod", "secret") if kind in private}
    return Claims(
        namespace=private["namespace"],
        account=Reference(**private["serviceaccount"]),
        audiences=tuple(payload["aud"]),
        issued_at=int(payload["iat"]),
        expires_at=int(payload["exp"]),
        token_id=payload["jti"],
        **bound,
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Raises: ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
