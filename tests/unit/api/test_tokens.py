"""Tokens for ServiceAccounts: how one gets them, what they open, and what ends them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from podspace import errors, tokens
from podspace.api import accounts, authorization, identity
from podspace.api.authorization import Attributes
from podspace.api.identity import Identity
from podspace.kube.json import JSON
from tests.unit.api.serving import NOW, Answer, Client, played, pod

N = "/api/v1/namespaces/default"
REVIEWS = "/apis/authorization.k8s.io/v1"
EDITOR = "podspace.io/rights"


async def account(client: Client, name: str, **annotations: str) -> JSON:
    answer = await client.post(f"{N}/serviceaccounts", {"metadata": {"name": name, "annotations": annotations}})
    assert answer.status == 201, answer.text
    return dict(answer.json)


async def token(client: Client, name: str, **spec: Any) -> Answer:
    return await client.post(f"{N}/serviceaccounts/{name}/token", {"spec": spec})


async def who(client: Client, text: str, *audiences: str) -> JSON:
    body = {"spec": {"token": text, **({"audiences": list(audiences)} if audiences else {})}}
    answer = await client.post("/apis/authentication.k8s.io/v1/tokenreviews", body)
    assert answer.status == 201, answer.text
    return dict(answer.json["status"])


@pytest.fixture
def only_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's connection tells nothing, as one over TLS without a certificate."""
    monkeypatch.setattr(identity, "of", lambda transport: None)


def test_a_token_says_whose_it_is_until_the_account_is_gone() -> None:
    async def scene(client: Client) -> None:
        uid = (await account(client, "web"))["metadata"]["uid"]
        answer = await token(client, "web", expirationSeconds=600)
        assert answer.json["status"]["expirationTimestamp"] == "2026-05-28T20:36:40Z"
        text = answer.json["status"]["token"]
        status = await who(client, text)
        assert status["authenticated"]
        assert status["audiences"] == [tokens.DEFAULT_AUDIENCE]
        assert status["user"]["username"] == "system:serviceaccount:default:web"
        assert status["user"]["uid"] == uid
        assert status["user"]["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
        assert "target audiences" in (await who(client, text, "vault"))["error"]
        await client.delete(f"{N}/serviceaccounts/web")
        assert "has been deleted" in (await who(client, text))["error"]
        await account(client, "web")
        assert "UID does not match" in (await who(client, text))["error"]

    played(scene)


def test_a_bound_token_ends_with_its_pod() -> None:
    async def scene(client: Client) -> None:
        await account(client, "web")
        made = await client.post(f"{N}/pods", pod("p", serviceAccountName="web"))
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made.json["metadata"]["uid"]}
        answer = await token(client, "web", boundObjectRef=reference)
        assert answer.json["spec"]["boundObjectRef"] == reference
        text = answer.json["status"]["token"]
        user = (await who(client, text))["user"]
        assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
        await client.delete(f"{N}/pods/p")
        assert "pods default/p has been deleted" in (await who(client, text))["error"]

    played(scene)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 1 << 33}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "nope"}}, 404, 'pods "nope" not found'),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}, 400, 'cannot bind token for serviceaccount "web" to pod'),
        ({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}}, 400, "cannot bind token to object of type /v1, Kind="),
        ({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": "x"}}, 409, "UID in the bound object reference (x)"),
    ],
)  # fmt: skip
def test_what_cannot_be_signed_is_refused_in_words(spec: JSON, code: int, message: str) -> None:
    async def scene(client: Client) -> None:
        await account(client, "web")
        await client.post(f"{N}/pods", pod("p"))
        await client.post(f"{N}/secrets", {"metadata": {"name": "s"}})
        answer = await token(client, "web", **spec)
        assert answer.status == code
        assert message in answer.message

    played(scene)


def test_a_pods_account_may_look_around_and_nothing_else(only_tokens: None) -> None:
    async def scene(client: Client) -> None:
        made = await client.store.create("serviceaccounts", {"metadata": {"name": "web", "namespace": "default", "uid": "u"}})
        assert client.server.services.tokens
        text, _ = client.server.services.tokens.issue("default", tokens.Reference(name="web", uid=made["metadata"]["uid"]), now=NOW)
        bearer = {"Authorization": f"Bearer {text}"}
        for path in ("/api", "/apis", "/api/v1", "/openapi/v3", "/version", "/openid/v1/jwks", "/.well-known/openid-configuration"):
            assert (await client.get(path, **bearer)).status == 200, path
        me = await client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **bearer)
        assert me.json["status"]["userInfo"]["username"] == "system:serviceaccount:default:web"
        asked = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}}
        assert (await client.post(f"{REVIEWS}/selfsubjectaccessreviews", asked, **bearer)).json["status"] == {"allowed": False}
        refused = await client.get(f"{N}/secrets", **bearer)
        assert refused.status == 403
        user = "system:serviceaccount:default:web"
        assert refused.message == (
            f'secrets is forbidden: User "{user}" cannot list resource "secrets" in API group "" in the namespace "default"'
        )
        assert (await client.get("/metrics", **bearer)).message == f'forbidden: User "{user}" cannot get path "/metrics"'
        assert (await client.post(f"{N}/serviceaccounts/web/token", {}, **bearer)).status == 403
        for wrong in ({"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"}, {}):
            unknown = await client.get(f"{N}/pods", **wrong)
            assert (unknown.status, unknown.message) == (401, "Unauthorized")

    played(scene)


def test_keys_are_published_where_the_configuration_says() -> None:
    async def scene(client: Client) -> None:
        found = (await client.get("/.well-known/openid-configuration")).json
        assert found["issuer"] == tokens.ISSUER
        assert found["jwks_uri"] == "https://localhost/openid/v1/jwks"
        keys = await client.get("/openid/v1/jwks")
        assert keys.headers["Content-Type"] == "application/jwk-set+json"
        assert keys.json["keys"][0]["alg"] in found["id_token_signing_alg_values_supported"]
        assert {"/.well-known/openid-configuration", "/openid/v1/jwks"} <= set((await client.get("/")).json["paths"])

    played(scene)


def may(rights: str, **attributes: str) -> bool:
    subject = Identity(name="system:serviceaccount:a:x", groups=tokens.groups("a"), namespace="a", rights=rights)
    return authorization.allows(subject, Attributes(**attributes))


def test_rights_are_given_by_an_annotation_and_reach_as_far_as_it_says() -> None:
    pods = {"resource": "pods", "namespace": "a"}
    assert may("view", verb="list", **pods)
    assert may("view", verb="get", subresource="log", **pods)
    assert not may("view", verb="list", resource="pods", namespace="b")
    assert not may("view", verb="list", resource="pods")
    assert not may("view", verb="get", resource="secrets", namespace="a")
    assert not may("view", verb="create", subresource="exec", **pods)
    assert not may("view", verb="get", subresource="files", group="lens.podspace.io", **pods)
    assert not may("view", verb="list", resource="nodes", namespace="a")
    assert not may("", verb="list", **pods)
    assert may("admin", verb="delete", resource="nodes")


def test_reviews_of_others_follow_the_annotation() -> None:
    async def scene(client: Client) -> None:
        await account(client, "viewer", **{EDITOR: "view"})
        await account(client, "nobody", **{EDITOR: "emperor"})
        asked = {"verb": "list", "resource": "pods", "namespace": "default"}

        async def allowed(user: str, *groups: str, path: str = f"{REVIEWS}/subjectaccessreviews") -> bool:
            answer = await client.post(path, {"spec": {"user": user, "groups": list(groups), "resourceAttributes": asked}})
            assert answer.status == 201, answer.text
            return bool(answer.json["status"]["allowed"])

        assert await allowed("system:serviceaccount:default:viewer")
        assert not await allowed("system:serviceaccount:default:nobody")
        assert not await allowed("system:serviceaccount:default:absent")
        assert await allowed("somebody", "system:masters")
        local = f"{REVIEWS}/namespaces/default/localsubjectaccessreviews"
        assert await allowed("system:serviceaccount:default:viewer", path=local)
        other = await client.post(local.replace("default", "kube-system"), {"spec": {"user": "x", "resourceAttributes": asked}})
        assert "must match metadata.namespace" in other.message

    played(scene)


def test_a_pod_that_names_an_account_needs_it_and_gets_its_token_mounted() -> None:
    async def scene(client: Client) -> None:
        refused = await client.post(f"{N}/pods", pod("p", serviceAccountName="web"))
        assert refused.status == 403
        assert refused.message == ('pods "p" is forbidden: error looking up service account default/web: serviceaccount "web" not found')
        await account(client, "web")
        spec = (await client.post(f"{N}/pods", pod("p", serviceAccountName="web"))).json["spec"]
        assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        await client.patch(f"{N}/serviceaccounts/default", {"imagePullSecrets": [{"name": "pull"}]})
        spec = (await client.post(f"{N}/pods", pod("q"))).json["spec"]
        assert (spec["serviceAccountName"], spec["imagePullSecrets"]) == ("default", [{"name": "pull"}])
        assert "volumes" not in spec

    played(scene)


def test_without_a_signer_there_are_no_tokens() -> None:
    async def scene(client: Client) -> None:
        services = client.server.services
        object.__setattr__(services, "tokens", None)
        assert (await token(client, "default")).status == 501
        with pytest.raises(errors.Unauthorized):
            accounts.identify(services, "x", ("y",))

    played(scene)


def test_an_administrator_may_act_as_somebody_else_and_then_may_no_more_than_that_one() -> None:
    async def scene(client: Client) -> None:
        await account(client, "viewer", **{EDITOR: "view"})
        as_viewer = {"Impersonate_User": "system:serviceaccount:default:viewer"}
        me = await client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **as_viewer)
        assert me.json["status"]["userInfo"]["groups"][:2] == ["system:serviceaccounts", "system:serviceaccounts:default"]
        assert (await client.get(f"{N}/pods", **as_viewer)).status == 200
        assert (await client.get("/api/v1/nodes", **as_viewer)).status == 403
        nested = await client.get(f"{N}/pods", Impersonate_User="jane", Impersonate_Group="system:masters")
        assert nested.status == 200
        assert (await client.get(f"{N}/pods", Impersonate_User="jane")).status == 403
        assert (await client.get(f"{N}/pods", Impersonate_Group="x")).status == 400

    played(scene)


def test_who_is_no_administrator_acts_as_nobody_else(only_tokens: None) -> None:
    async def scene(client: Client) -> None:
        await client.store.create("serviceaccounts", {"metadata": {"name": "web", "namespace": "default", "uid": "u"}})
        assert client.server.services.tokens
        text, _ = client.server.services.tokens.issue("default", tokens.Reference(name="web", uid="u"), now=NOW)
        answer = await client.get(f"{N}/pods", Authorization=f"Bearer {text}", Impersonate_User="root", Impersonate_Group="system:masters")
        assert answer.status == 403
        assert 'cannot impersonate resource "users" in API group "" at the cluster scope' in answer.message

    played(scene)


def test_a_secret_that_asks_for_a_token_gets_one_that_ends_with_it() -> None:
    async def scene(client: Client) -> None:
        uid = (await account(client, "web"))["metadata"]["uid"]
        asked = {"name": "web-token", "annotations": {"kubernetes.io/service-account.name": "web"}}
        made = await client.post(f"{N}/secrets", {"metadata": asked, "type": "kubernetes.io/service-account-token"})
        assert made.status == 201, made.text
        assert made.json["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == uid
        text = base64.b64decode(made.json["data"]["token"]).decode()
        assert (await who(client, text))["user"]["username"] == "system:serviceaccount:default:web"
        await client.delete(f"{N}/secrets/web-token")
        assert "secrets default/web-token has been deleted" in (await who(client, text))["error"]

    played(scene)


def test_a_token_can_be_bound_to_a_node() -> None:
    async def scene(client: Client) -> None:
        await client.post("/api/v1/nodes", {"metadata": {"name": "n"}})
        answer = await token(client, "default", boundObjectRef={"kind": "Node", "apiVersion": "v1", "name": "n"})
        text = answer.json["status"]["token"]
        extra = (await who(client, text))["user"]["extra"]
        assert extra["authentication.kubernetes.io/node-name"] == ["n"]
        await client.delete("/api/v1/nodes/n")
        assert "has been deleted" in (await who(client, text))["error"]

    played(scene)
