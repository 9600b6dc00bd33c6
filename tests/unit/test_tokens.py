"""Tokens of ServiceAccounts: what is signed is read again, and nothing else is believed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from podspace import errors, tokens
from podspace.tokens import Reference, Signer

NOW = 1_700_000_000.5
ACCOUNT = Reference(name="web", uid="u-1")
POD = Reference(name="p", uid="u-2")


def test_a_token_says_whose_it_is_what_for_and_how_long(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    token, issued = signer.issue("shop", ACCOUNT, now=NOW, seconds=600, audiences=["vault"], pod=POD, node=Reference(name="n", uid="u-3"))
    assert signer.verify(token, now=NOW + 599, audiences=["x", "vault"]) == issued
    payload = json.loads(_part(token, 1))
    assert payload["sub"] == issued.username == "system:serviceaccount:shop:web"
    assert payload["kubernetes.io"] == {
        "namespace": "shop",
        "node": {"name": "n", "uid": "u-3"},
        "pod": {"name": "p", "uid": "u-2"},
        "serviceaccount": {"name": "web", "uid": "u-1"},
    }
    assert (payload["aud"], payload["exp"] - payload["iat"], payload["nbf"]) == (["vault"], 600, int(NOW))


def test_a_token_is_refused_when_late_for_others_or_touched(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    token, _ = signer.issue("shop", ACCOUNT, now=NOW, seconds=600)
    with pytest.raises(errors.Unauthorized, match="expired"):
        signer.verify(token, now=NOW + 600)
    with pytest.raises(errors.Unauthorized, match="target audiences"):
        signer.verify(token, now=NOW, audiences=["vault"])
    head, payload, signature = token.split(".")
    forged = json.loads(_part(token, 1))
    forged["sub"] = "system:serviceaccount:kube-system:root"
    other = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    short = signature[:-8]
    for wrong in (f"{head}.{other}.{signature}", f"{none}.{payload}.", f"{head}.{payload}.{short}", "", "a.b.c", "é.é.é", f"{token}.x"):
        with pytest.raises(errors.Unauthorized, match="invalid bearer token"):
            signer.verify(wrong, now=NOW)
    with pytest.raises(errors.Unauthorized, match="invalid bearer token"):
        Signer(tmp_path / "another").verify(token, now=NOW)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token, _ = Signer(tmp_path).issue("shop", ACCOUNT, now=NOW)
    assert (tmp_path / tokens.KEY_FILE).stat().st_mode & 0o777 == 0o600
    again = Signer(tmp_path)
    assert again.verify(token, now=NOW).account == ACCOUNT
    assert again.key_set() == Signer(tmp_path).key_set()
    (tmp_path / tokens.KEY_FILE).write_bytes(b"damaged")
    with pytest.raises(errors.Unauthorized):
        Signer(tmp_path).verify(token, now=NOW)


def test_the_published_key_verifies_a_token(tmp_path: Path) -> None:
    """As any client would do it: with the numbers of the key set alone."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    signer = Signer(tmp_path)
    token, _ = signer.issue("shop", ACCOUNT, now=NOW)
    (key,) = signer.key_set()["keys"]
    assert json.loads(_part(token, 0)) == {"alg": key["alg"], "kid": key["kid"]}
    x, y = (int.from_bytes(_bytes(key[name]), "big") for name in ("x", "y"))
    text, _, signature = token.rpartition(".")
    raw = _bytes(signature)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(der, text.encode(), ec.ECDSA(hashes.SHA256()))


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _part(token: str, number: int) -> bytes:
    return _bytes(token.split(".")[number])


@pytest.mark.parametrize("head", [b"[" * 5000, b"[]", b'{"alg":"none"}', b"\xff", b"1" * 5000])
def test_whatever_else_is_sent_is_no_token(tmp_path: Path, head: bytes) -> None:
    made = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (head, b"{}", b"\0" * 64))
    with pytest.raises(errors.Unauthorized, match="invalid bearer token"):
        Signer(tmp_path).verify(made, now=NOW)
