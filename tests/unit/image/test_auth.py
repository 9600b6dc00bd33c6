"""Credentials: read from files and Secrets, chosen by scope, never shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from podspace import errors
from podspace.image import auth

PAIR = base64.b64encode(b"joe:se:cret").decode()


def scopes(repository: str, *keys: str) -> list[str]:
    credentials = auth.parse_config({"auths": {key: {"auth": PAIR} for key in keys}})
    return [credential.scope for credential in auth.matching(repository, credentials)]


def test_user_and_password_are_decoded_and_not_shown() -> None:
    (credential,) = auth.parse_config({"auths": {"r.io": {"auth": PAIR}}})
    assert (credential.scope, credential.username, credential.password) == ("r.io", "joe", "se:cret")
    assert "se:cret" not in repr(credential)
    assert "joe" not in repr(credential)


def test_plain_fields_win_over_auth() -> None:
    (credential,) = auth.parse_config({"auths": {"r.io": {"auth": PAIR, "username": "ann", "password": "pw"}}})
    assert (credential.username, credential.password) == ("ann", "pw")


def test_an_identity_token_is_kept() -> None:
    (credential,) = auth.parse_config({"auths": {"r.io": {"identitytoken": "tok", "auth": PAIR}}})
    assert credential.identity_token == "tok"
    assert "tok" not in repr(credential)


def test_a_registry_token_is_all_there_is_to_say() -> None:
    (credential,) = auth.parse_config({"auths": {"r.io": {"registrytoken": "tok", "identitytoken": "other", "auth": PAIR}}})
    assert (credential.registry_token, credential.identity_token, credential.username) == ("tok", "", "")
    assert "tok" not in repr(credential)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"auths": None},
        {"auths": []},
        {"auths": {"r.io": None}},
        {"auths": {"r.io": {}}},
        {"auths": {"r.io": {"auth": "%%%"}}},
        {"auths": {"r.io": {"auth": 7}}},
        {"auths": {"r.io": {"auth": base64.b64encode(b"\xff:\xff").decode()}}},
        {"auths": {"r.io": {"auth": base64.b64encode(b"nocolon").decode(), "username": 3}}},
        {"credsStore": "desktop"},
    ],
)
def test_what_makes_no_sense_is_passed_over(config: dict[str, object]) -> None:
    assert [each.password for each in auth.parse_config(config)] in ([], [""])


def test_old_spellings_of_docker_hub_are_docker_hub() -> None:
    for key in ("https://index.docker.io/v1/", "docker.io", "registry-1.docker.io", "https://registry.hub.docker.com"):
        assert scopes("docker.io/library/nginx", key) == ["docker.io"]


def test_the_longest_scope_comes_first() -> None:
    assert scopes("r.io/team/app", "r.io", "r.io/team", "r.io/tea", "r.io/team/app", "r.io/other") == ["r.io/team/app", "r.io/team", "r.io"]


def test_a_star_stands_for_one_label() -> None:
    assert scopes("eu.r.io/x", "*.r.io") == ["*.r.io"]
    assert scopes("a.eu.r.io/x", "*.r.io") == []
    assert scopes("r.io/x", "*.r.io") == []


def test_a_port_is_part_of_the_host() -> None:
    assert scopes("r.io:5000/x", "r.io", "r.io:5000") == ["r.io:5000"]


def test_files_that_exist_are_read_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "auth.json", tmp_path / "config.json"
    first.write_text(json.dumps({"auths": {"a.io": {"auth": PAIR}}}))
    second.write_text(json.dumps({"auths": {"b.io": {"auth": PAIR}}}))
    assert [each.scope for each in auth.read_files([tmp_path / "none", first, second])] == ["a.io", "b.io"]


def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path) -> None:
    broken = tmp_path / "auth.json"
    broken.write_text('{"auths": {"r.io": {"password": "se:cret"')
    with pytest.raises(errors.BadRequest) as caught:
        auth.read_files([broken])
    assert str(broken) in str(caught.value)
    assert "se:cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_environment_says_where_to_look() -> None:
    assert auth.default_files({"REGISTRY_AUTH_FILE": "/x/auth.json"}) == (Path("/x/auth.json"),)
    places = auth.default_files({"HOME": "/home/joe", "XDG_RUNTIME_DIR": "/run/user/1"})
    assert places == (
        Path("/run/user/1/containers/auth.json"),
        Path("/home/joe/.config/containers/auth.json"),
        Path("/home/joe/.docker/config.json"),
    )
