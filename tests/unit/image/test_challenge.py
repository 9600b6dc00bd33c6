"""What registries say when they want to know who asks, and their own words when they refuse."""

from __future__ import annotations

import base64
import json

import pytest

from podspace import errors
from podspace.image import challenge
from podspace.image.auth import Credential


def test_a_bearer_challenge_is_read() -> None:
    header = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'
    (found,) = challenge.parse([header])
    assert found.scheme == "bearer"
    assert found.parameters == {
        "realm": "https://auth.docker.io/token",
        "service": "registry.docker.io",
        "scope": "repository:a/b:pull,push",
    }


def test_several_challenges_may_share_a_header() -> None:
    found = challenge.parse(['Basic realm="x, y", Bearer realm=z , service="q\\"uoted"', "Negotiate"])
    assert [each.scheme for each in found] == ["basic", "bearer", "negotiate"]
    assert found[1].parameters == {"realm": "z", "service": 'q"uoted'}


@pytest.mark.parametrize("header", ["", ",,,", "=", '"', "Bearer realm=", "Bearer \x00", "a" * 5000])
def test_nonsense_is_survived(header: str) -> None:
    challenge.parse([header])


def test_a_token_is_better_than_a_password() -> None:
    assert challenge.pick(challenge.parse(["Basic realm=x", "Bearer realm=y"])) == challenge.parse(["Bearer realm=y"])[0]
    assert challenge.pick(challenge.parse(["Negotiate"])) is None


def test_basic_is_user_and_password() -> None:
    header = challenge.basic(Credential(scope="", username="joe", password="p:w"))
    assert base64.b64decode(header.removeprefix("Basic ")) == b"joe:p:w"
    assert challenge.basic(Credential(scope="", username="\ud800", password="x")).startswith("Basic ")  # what JSON can spell


@pytest.mark.parametrize("body", [b'{"token": "t"}', b'{"access_token": "t"}', b'{"token": "t", "access_token": "u"}'])
def test_a_token_is_found(body: bytes) -> None:
    assert challenge.token(body) == "t"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": ""}'])
def test_an_answer_without_a_token_is_refused(body: bytes) -> None:
    with pytest.raises(errors.Unauthorized):
        challenge.token(body)


def test_the_registrys_own_words_are_found() -> None:
    body = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": {"Tag": "x"}}]}).encode()
    assert challenge.said(body) == "manifest unknown"
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}).encode()
    assert challenge.said(body) == "toomanyrequests: You have reached your pull rate limit."
    assert challenge.said(b'{"details": "incorrect username or password"}') == "incorrect username or password"
    assert challenge.said(b"plain\nwords\n") == "plain words"
    assert challenge.said(b"<html><body>no") == ""


def test_an_answer_that_nests_without_end_is_no_answer() -> None:
    assert challenge.said(b"[" * 100_000).startswith("[[[")
    with pytest.raises(errors.Unauthorized):
        challenge.token(b"[" * 100_000)
