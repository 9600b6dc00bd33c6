"""Pull secrets, good and bad."""

from __future__ import annotations

import base64
import json

import pytest

from podspace.image import auth
from podspace.kube.json import JSON
from podspace.node import credentials
from tests.unit.node import builders

GOOD = json.dumps({"auths": {"r.example": {"username": "u", "password": "hunter2"}}})


def _found(key: str, content: str) -> tuple[auth.Credential, ...]:
    def lookup(resource: str, namespace: str, name: str) -> JSON | None:
        return {"data": {key: base64.b64encode(content.encode()).decode()}}

    return credentials.of(builders.pod({"imagePullSecrets": [{"name": "s"}]}), lookup)


def test_a_credential_is_found_and_does_not_show_its_password() -> None:
    (found,) = _found(".dockerconfigjson", GOOD)
    assert found.password == "hunter2"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("content", ["", "[]", "null", "7", "{", "[" * 100_000, '{"auths": []}', '{"auths": {"r": 1}}'])
@pytest.mark.parametrize("key", [".dockerconfigjson", ".dockercfg"])
def test_nonsense_is_passed_over(key: str, content: str) -> None:
    assert _found(key, content) == ()
