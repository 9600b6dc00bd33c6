"""Paths as Kubernetes clients write them."""

from __future__ import annotations

import pytest

from podspace import errors
from podspace.api import routes
from podspace.api.routes import GroupVersion, Target


def target(method: str, path: str, *, watch: bool = False) -> Target:
    parsed = routes.parse(method, path, watch)
    assert isinstance(parsed, Target)
    return parsed


@pytest.mark.parametrize(
    ("method", "path", "verb", "namespace", "name", "subresource"),
    [
        ("GET", "/api/v1/pods", "list", "", "", ""),
        ("GET", "/api/v1/namespaces/x/pods", "list", "x", "", ""),
        ("POST", "/api/v1/namespaces/x/pods", "create", "x", "", ""),
        ("DELETE", "/api/v1/namespaces/x/pods", "deletecollection", "x", "", ""),
        ("GET", "/api/v1/namespaces/x/pods/p/", "get", "x", "p", ""),
        ("PATCH", "/api/v1/namespaces/x/pods/p", "patch", "x", "p", ""),
        ("GET", "/api/v1/namespaces/x/pods/p/log", "get", "x", "p", "log"),
        ("GET", "/api/v1/namespaces/x/pods/p/exec", "create", "x", "p", "exec"),
        ("PUT", "/api/v1/namespaces/x/finalize", "update", "", "x", "finalize"),
        ("GET", "/api/v1/namespaces/x", "get", "", "x", ""),
        ("POST", "/api/v1/namespaces", "create", "", "", ""),
        ("GET", "/api/v1/watch/namespaces/x/pods", "watch", "x", "", ""),
        ("GET", "/api/v1/watch/namespaces/x/pods/p", "watch", "x", "p", ""),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/x/leases/l", "get", "x", "l", ""),
        ("GET", "/api/v1/nodes/n%2Fx", "get", "", "n/x", ""),
    ],
)
def test_a_path_says_what_is_wanted(method: str, path: str, verb: str, namespace: str, name: str, subresource: str) -> None:
    found = target(method, path)
    assert (found.verb, found.namespace, found.name, found.subresource) == (verb, namespace, name, subresource)


def test_the_watch_parameter_turns_a_list_into_a_watch_but_not_a_get() -> None:
    assert target("GET", "/api/v1/pods", watch=True).verb == "watch"
    assert target("GET", "/api/v1/namespaces/x/pods/p", watch=True).verb == "get"


def test_discovery_paths_are_told_from_resources() -> None:
    assert routes.parse("GET", "/api", False) == GroupVersion(legacy=True)
    assert routes.parse("GET", "/api/v1/", False) == GroupVersion(legacy=True, group="", version="v1")
    assert routes.parse("GET", "/apis/events.k8s.io", False) == GroupVersion(legacy=False, group="events.k8s.io")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/namespaces/x/pods"),
        ("PATCH", "/api/v1/namespaces/x/pods"),
        ("POST", "/api/v1/namespaces/x/pods/p"),
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/pods"),
        ("DELETE", "/api/v1/namespaces"),
        ("HEAD", "/api/v1/namespaces/x/pods/p"),
        ("OPTIONS", "/api/v1/namespaces/x/pods/p"),
        ("POST", "/api/v1/namespaces/x/pods/p/ephemeralcontainers"),
        ("GET", "/api/v1/namespaces/x/bindings"),
    ],
)
def test_a_verb_that_the_path_does_not_have_is_refused(method: str, path: str) -> None:
    with pytest.raises(errors.MethodNotAllowed, match="the server does not allow this method on the requested resource"):
        routes.parse(method, path, False)


@pytest.mark.parametrize(
    "path", ["/api/v1/namespaces/x/foobars", "/api/v2", "/api/v1/namespaces/x/pods/p/foo", "/api/v1/namespaces/x/nodes"]
)
def test_an_unknown_resource_is_not_found(path: str) -> None:
    with pytest.raises(errors.NotFound, match="the server could not find the requested resource"):
        routes.parse("GET", path, False)


@pytest.mark.parametrize("path", ["/apis/nosuch.io/v1/things", "//api/v1/pods"])
def test_an_unknown_group_is_a_page_not_found(path: str) -> None:
    with pytest.raises(routes.PageNotFound):
        routes.parse("GET", path, False)
