"""Services as objects: addresses, rules, and the variables that Pods see."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.kube import addresses, defaults, services, validation
from podspace.kube.json import JSON


def service(name: str = "web-front", **spec: Any) -> JSON:
    obj: JSON = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
    defaults.apply("Service", obj)
    return obj


def test_a_service_gets_a_free_address_and_keeps_it() -> None:
    obj = service(ports=[{"port": 80}])
    services.allocate(obj, {"10.96.1.0"})
    assert (obj["spec"]["clusterIP"], obj["spec"]["clusterIPs"]) == ("10.96.1.1", ["10.96.1.1"])
    again = service(ports=[{"port": 81}])
    services.keep(again, obj)
    assert again["spec"]["clusterIP"] == "10.96.1.1"


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "example.com"}])
def test_some_services_want_no_address(spec: JSON) -> None:
    obj = service(**spec)
    services.allocate(obj, ())
    assert obj["spec"].get("clusterIP") == spec.get("clusterIP")
    assert validation.validate_create("Service", obj) == []


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({}, "spec.ports: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        (
            {"ports": [{"port": 1}], "type": "X"},
            'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
        ),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
    ],
)  # fmt: skip
def test_a_bad_service_is_refused_in_words(spec: JSON, sentence: str) -> None:
    assert sentence in [cause.sentence() for cause in validation.validate_create("Service", service(**spec))]


def test_pods_are_told_of_services_in_both_ways() -> None:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    obj = service(ports=ports, clusterIP="10.96.1.1")
    assert services.variables([obj, service("headless", clusterIP="None", ports=ports)]) == {
        "WEB_FRONT_SERVICE_HOST": "10.96.1.1",
        "WEB_FRONT_SERVICE_PORT": "80",
        "WEB_FRONT_SERVICE_PORT_HTTP": "80",
        "WEB_FRONT_SERVICE_PORT_DNS": "53",
        "WEB_FRONT_PORT": "tcp://10.96.1.1:80",
        "WEB_FRONT_PORT_80_TCP": "tcp://10.96.1.1:80",
        "WEB_FRONT_PORT_80_TCP_PROTO": "tcp",
        "WEB_FRONT_PORT_80_TCP_PORT": "80",
        "WEB_FRONT_PORT_80_TCP_ADDR": "10.96.1.1",
        "WEB_FRONT_PORT_53_UDP": "udp://10.96.1.1:53",
        "WEB_FRONT_PORT_53_UDP_PROTO": "udp",
        "WEB_FRONT_PORT_53_UDP_PORT": "53",
        "WEB_FRONT_PORT_53_UDP_ADDR": "10.96.1.1",
    }


def _changed(old: JSON, **spec: Any) -> JSON:
    new = {**old, "spec": {**old["spec"], **spec}}
    defaults.apply("Service", new)
    services.keep(new, old)
    return new


def _made(**spec: Any) -> JSON:
    made: JSON = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": [{"port": 80}], **spec}}
    defaults.apply("Service", made)
    services.allocate(made, ())
    return made


def _refused(new: JSON, old: JSON) -> list[str]:
    return [cause.sentence() for cause in validation.validate_update("Service", new, old)]


def test_another_type_leaves_behind_what_it_has_no_use_for() -> None:
    old = _made(type="LoadBalancer", ports=[{"port": 80, "nodePort": 30000}], loadBalancerClass="a/b")
    assert old["spec"]["externalTrafficPolicy"] == "Cluster"
    new = _changed(old, type="ClusterIP")
    assert _refused(new, old) == []
    assert not new["spec"].keys() & {"externalTrafficPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass"}
    assert new["spec"]["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 80}] or "nodePort" not in new["spec"]["ports"][0]
    named = _changed(old, type="ExternalName", externalName="a.b")
    assert _refused(named, old) == []
    assert not named["spec"].keys() & {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}


def test_an_address_stays() -> None:
    old = _made()
    new = _changed(old, clusterIP="10.96.7.7")
    assert _refused(new, old) == ['spec.clusterIPs[0]: Invalid value: ["10.96.7.7"]: may not change once set']


def test_what_is_far_too_long_for_an_address_is_no_work() -> None:
    for text in ("1" * 1_000_000, "1." * 500_000, "1" * 1_000_000 + "/8", "0" * 200 + "1.1.1.1"):
        assert addresses.problem(text)
        assert addresses.network_problem(text)
