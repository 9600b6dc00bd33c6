"""When a Pod's tokens are signed, and what happens without the account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podspace import tokens
from podspace.node.environment import ConfigError
from podspace.node.pod import Pod
from podspace.node.pod_tokens import PodTokens
from tests.unit.node.builders import pod

NOW = 1_700_000_000.0
OBJECTS = {("serviceaccounts", "web"): {"metadata": {"uid": "sa-uid"}}, ("nodes", "n"): {"metadata": {"name": "n", "uid": "node-uid"}}}


def lookup(resource: str, namespace: str, name: str) -> Any:
    return OBJECTS.get((resource, name))


def with_tokens(*sources: dict[str, Any], account: str = "web") -> Pod:
    parts = [{"serviceAccountToken": {"path": f"t{index}", **source}} for index, source in enumerate(sources)]
    return pod({"serviceAccountName": account, "volumes": [{"name": "v", "projected": {"sources": parts}}]})


def test_a_token_speaks_of_its_pod_its_account_and_its_node(tmp_path: Path) -> None:
    signer, held = tokens.Signer(tmp_path), PodTokens()
    view = with_tokens({"expirationSeconds": 600, "audience": "vault"})
    held.renew(view, signer, lookup, now=NOW, clock=0.0)
    text = held.text(view, {"path": "t0", "audience": "vault", "expirationSeconds": 600})
    claims = signer.verify(text, now=NOW + 1, audiences=("vault",))
    assert (claims.namespace, claims.account, claims.expires_at) == ("default", tokens.Reference(name="web", uid="sa-uid"), int(NOW) + 600)
    assert claims.pod == tokens.Reference(name="p", uid="u")
    assert claims.node == tokens.Reference(name="n", uid="node-uid")


def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left(tmp_path: Path) -> None:
    signer, held = tokens.Signer(tmp_path), PodTokens()
    view = with_tokens({"expirationSeconds": 1000}, {"expirationSeconds": 4000}, {"expirationSeconds": 1 << 32})
    assert held.due is None
    held.renew(view, signer, lookup, now=NOW, clock=50.0)
    assert sorted(one.renew_at for one in held.held.values()) == [850.0, 3250.0, 50.0 + 86400.0]
    first = held.text(view, {"expirationSeconds": 1000})
    held.renew(view, signer, lookup, now=NOW + 799, clock=849.0)
    assert held.text(view, {"expirationSeconds": 1000}) == first
    assert held.is_due(850.0)
    held.renew(view, signer, lookup, now=NOW + 800, clock=850.0)
    assert held.text(view, {"expirationSeconds": 1000}) != first
    assert held.due == 1650.0


def test_without_its_account_there_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='failed to fetch token: serviceaccounts "nobody" not found'):
        PodTokens().renew(with_tokens({}, account="nobody"), tokens.Signer(tmp_path), lookup, now=NOW, clock=0.0)


def test_a_pod_without_tokens_needs_no_key(tmp_path: Path) -> None:
    PodTokens().renew(pod(), tokens.Signer(tmp_path), lookup, now=NOW, clock=0.0)
    assert list(tmp_path.iterdir()) == []
