"""Who may come in, and how the others are told."""

from __future__ import annotations

import pytest

from podspace import errors
from podspace.api import authorization, identity, routes, status_http
from podspace.api.identity import Identity
from podspace.api.routes import Target

ALICE = Identity(name="alice", groups=("devs",))


class Transport:
    """What asyncio tells about a TLS connection."""

    def __init__(self, subject: tuple[tuple[tuple[str, str], ...], ...]) -> None:
        self._facts = {"peercert": {"subject": subject}, "socket": None}

    def get_extra_info(self, name: str) -> object:
        return self._facts.get(name)


def test_a_certificate_names_a_user_and_groups() -> None:
    subject = ((("organizationName", "system:masters"),), (("organizationName", "devs"),), (("commonName", "bob"),))
    found = identity.of(Transport(subject))  # type: ignore[arg-type] # as much of a transport as is asked
    assert found is not None
    assert (found.name, found.groups, found.is_admin) == ("bob", ("system:masters", "devs", "system:authenticated"), True)


def test_a_connection_without_a_certificate_tells_nothing() -> None:
    assert identity.of(Transport(())) is None  # type: ignore[arg-type] # as above


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        (
            "GET",
            "/api/v1/namespaces/default/pods",
            'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        ("GET", "/api/v1/nodes", 'nodes is forbidden: User "alice" cannot list resource "nodes" in API group "" at the cluster scope'),
        (
            "POST",
            "/api/v1/namespaces/default/pods/x/exec",
            'pods "x" is forbidden: User "alice" cannot create resource "pods/exec" in API group "" in the namespace "default"',
        ),
    ],
)
def test_who_is_no_administrator_is_forbidden_in_the_words_of_rbac(method: str, path: str, message: str) -> None:
    target = routes.parse(method, path, False)
    assert isinstance(target, Target)
    with pytest.raises(errors.Forbidden) as caught:
        authorization.require(ALICE, target)
    failure = status_http.translate(caught.value)
    assert (failure.code, failure.status["message"], failure.status["reason"]) == (403, message, "Forbidden")
    assert failure.status["details"] == ({"name": "x"} if target.name else {}) | {"kind": target.resource.plural}
