from __future__ import annotations

import pytest

from podspace.node import api_address
from tests.unit.node.builders import pod

NODE = "192.0.2.1"


def host(listen: str, *, audience: str | None = "", network: bool = False) -> str | None:
    token = {"serviceAccountToken": {"path": "token", **({"audience": audience} if audience else {})}}
    volumes = [] if audience is None else [{"name": "v", "projected": {"sources": [token]}}]
    found = api_address.variables(pod({"volumes": volumes, "hostNetwork": network}), (listen, 6443), NODE)
    assert found.get("KUBERNETES_SERVICE_PORT", "6443") == "6443"
    return found.get("KUBERNETES_SERVICE_HOST")


@pytest.mark.parametrize(
    ("listen", "from_a_pod", "from_the_hosts_network"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("localhost", None, "localhost"),
        ("0.0.0.0", NODE, NODE),
        ("::", NODE, NODE),
        ("198.51.100.7", "198.51.100.7", "198.51.100.7"),
    ],
)
def test_a_pod_with_a_token_finds_a_server_that_it_can_reach(listen: str, from_a_pod: str | None, from_the_hosts_network: str) -> None:
    assert host(listen) == from_a_pod
    assert host(listen, network=True) == from_the_hosts_network


def test_a_pod_without_a_token_for_the_server_is_told_nothing() -> None:
    assert host("0.0.0.0", audience=None) is None
    assert host("0.0.0.0", audience="vault") is None
