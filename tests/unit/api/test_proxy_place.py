"""Where a proxied request goes, by the rules and in the words of an API server."""

from __future__ import annotations

import pytest

from podspace import errors
from podspace.api import proxy_place
from podspace.kube.json import JSON


def pod(name: str = "p", ip: str = "10.0.0.2", *, ready: str = "True", **metadata: object) -> JSON:
    return {
        "metadata": {"name": name, "labels": {"app": "web"}, **metadata},
        "spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }


def service(*ports: JSON, **spec: object) -> JSON:
    return {"metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}, "ports": list(ports), **spec}}


@pytest.mark.parametrize(
    ("text", "scheme", "name", "port"),
    [
        ("web", "http", "web", ""),
        ("web:80", "http", "web", "80"),
        ("https:web:443", "https", "web", "443"),
        ("https:web:", "https", "web", ""),
    ],
)
def test_a_name_with_scheme_and_port(text: str, scheme: str, name: str, port: str) -> None:
    assert proxy_place.split(text, "pod") == proxy_place.Name(scheme=scheme, name=name, port=port)


@pytest.mark.parametrize("text", ["ftp:web:21", ":80", "a:b:c:d", "http::80"])
def test_a_name_that_is_none(text: str) -> None:
    with pytest.raises(errors.BadRequest, match=f'invalid pod request "{text}"'):
        proxy_place.split(text, "pod")


def test_the_path_beyond_keeps_its_escapes_and_slashes() -> None:
    base = "/api/v1/namespaces/n/pods/http:p:80/proxy"
    assert proxy_place.paths(f"{base}/a%2Fb//c/?q=/proxy/") == (base, "/a%2Fb//c/")
    assert proxy_place.paths(base) == (base, "")
    assert proxy_place.paths("/api/v1/nodes/n/proxy/proxy/x") == ("/api/v1/nodes/n/proxy", "/proxy/x")


def test_a_pods_port_is_the_first_declared_unless_one_is_named() -> None:
    name = proxy_place.Name(scheme="http", name="p", port="")
    assert proxy_place.of_pod(pod(), name) == ("10.0.0.2", 8080)
    assert proxy_place.of_pod(pod(), proxy_place.Name(scheme="http", name="p", port="9")) == ("10.0.0.2", 9)
    bare = pod()
    bare["spec"]["containers"].pop()
    assert proxy_place.of_pod(bare, name)[1] == 80
    assert proxy_place.of_pod(bare, proxy_place.Name(scheme="https", name="p", port=""))[1] == 443


@pytest.mark.parametrize("ip", ["", "127.0.0.1", "169.254.1.1", "::1", "nonsense", "224.0.0.1"])
def test_an_address_that_is_not_the_pods_own_is_refused(ip: str) -> None:
    with pytest.raises(errors.BadRequest, match="address not allowed"):
        proxy_place.of_pod(pod(ip=ip), proxy_place.Name(scheme="http", name="p", port="80"))


@pytest.mark.parametrize("port", ["http", "0", "65536", "\u0663"])
def test_a_port_that_is_none(port: str) -> None:
    with pytest.raises(errors.Unavailable, match="error trying to reach service"):
        proxy_place.number(port)


def test_a_services_port_by_number_and_name() -> None:
    web, admin = {"name": "web", "port": 80}, {"name": "admin", "port": 81}
    ask = {port: proxy_place.Name(scheme="http", name="s", port=port) for port in ("80", "admin", "82", "")}
    assert proxy_place.service_port(service(web, admin), ask["80"]) is web
    assert proxy_place.service_port(service(web, admin), ask["admin"]) is admin
    assert proxy_place.service_port(service({"port": 80}), ask[""]) == {"port": 80}
    with pytest.raises(errors.Unavailable, match='no service port 82 found for service "s"'):
        proxy_place.service_port(service(web), ask["82"])
    with pytest.raises(errors.Unavailable, match='no endpoints available for service "s"'):
        proxy_place.service_port(service(web), ask[""])


def test_endpoints_are_the_ready_pods_that_are_selected() -> None:
    port = {"port": 80, "targetPort": "http"}
    pods = [
        pod("good"),
        pod("unready", "10.0.0.3", ready="False"),
        pod("going", "10.0.0.4", deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("other", "10.0.0.5", labels={"app": "other"}),
    ]
    assert proxy_place.endpoints(service(port), port, pods) == [("10.0.0.2", 8080)]
    assert len(proxy_place.endpoints(service(port, publishNotReadyAddresses=True), port, pods)) == 3
    assert proxy_place.endpoints(service(port, selector={}), port, pods) == []
    assert proxy_place.endpoints(service(port), {"port": 80}, pods) == [("10.0.0.2", 80)]
    assert proxy_place.endpoints(service(port), {"port": 80, "targetPort": "nope"}, pods) == []
