"""Services as objects: addresses, defaults that depend on others. Nothing routes to them here; their variables reach Pods.

Called by ``api`` when one is created, and by ``node`` for the variables. Pure.
Source: kubernetes pkg/registry/core/service, pkg/apis/core/validation ValidateService; kubelet envvars.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from podspace import errors
from podspace.kube import schema, validation_services
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report
from podspace.kube.validation_services import HEADLESS

NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
API_ADDRESS = "10.96.0.1"
WARNING = "nothing routes to Services on this machine: Pods are reached at their own addresses, ports of the host by hostPort"
_RESERVED = 256  # the lower part of the range is for addresses that somebody asks for


def allocate(obj: JSON, taken: Collection[str]) -> None:
    """Give a new, defaulted Service its address, unless it brings one or wants none. In place.  Raises: Invalid."""
    spec = obj["spec"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    if spec.get("type") != "ExternalName":
        _choose_family(obj, spec)
        if not spec.get("clusterIP"):
            spec["clusterIP"] = next(str(address) for address in _free(taken))
            spec["clusterIPs"] = [spec["clusterIP"]]
    obj["spec"] = schema.ordered("ServiceSpec", spec)


def _choose_family(obj: JSON, spec: JSON) -> None:
    """IPv4 is all there is; only what has no address and selects no Pods may name both."""
    unselective = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if unselective else "SingleStack")
    report = Report()
    validation_services.related(report, spec)
    _refuse(obj, report)
    policy, given = spec["ipFamilyPolicy"], spec.get("ipFamilies") or []
    for field in ("clusterIPs", "ipFamilies"):
        if policy == "SingleStack" and len(spec.get(field) or ()) == 2:
            what = "cluster IPs" if field == "clusterIPs" else "IP families"
            words = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            report.invalid("spec.ipFamilyPolicy", policy, words)
    for index, address in enumerate(spec.get("clusterIPs") or ()):
        if ":" in address and index >= len(given):
            report.invalid(f"spec.clusterIPs[{index}]", spec["clusterIPs"], "IPv6 is not configured on this cluster")
    _refuse(obj, report)
    families = list(given) or ["IPv4"]
    if unselective:
        if policy != "SingleStack" and len(families) == 1:
            families.append("IPv6" if families == ["IPv4"] else "IPv4")
    else:
        if policy == "RequireDualStack":
            report.invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
        for index, family in enumerate(families):
            if family != "IPv4":
                report.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        _in_network(report, spec.get("clusterIP") or "")
        _refuse(obj, report)
    spec["ipFamilies"] = families


def _in_network(report: Report, address: str) -> None:
    if address not in ("", HEADLESS) and ":" not in address and ipaddress.ip_address(address) not in NETWORK:
        range_words = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {NETWORK}"
        report.invalid("spec.clusterIPs", [address], f"failed to allocate IP {address}: {range_words}")


def _refuse(obj: JSON, report: Report) -> None:
    if report.causes:
        raise errors.Invalid("Service", (obj.get("metadata") or {}).get("name", ""), report.causes)


def keep(new: JSON, old: JSON) -> None:
    """A manifest does not repeat the address that was given when the Service was made; what its new type has no use for goes."""
    spec, before = new["spec"], old.get("spec") or {}
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if field in before and spec.get("type") != "ExternalName":
            spec.setdefault(field, before[field])
    if spec.get("clusterIP") and spec["clusterIP"] != before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    for fields in _useless(spec, before):
        if all(spec.get(field) == before.get(field) for field in fields):  # else the client means it, and is refused
            for field in fields:
                spec.pop(field, None)
    ported = ("NodePort", "LoadBalancer")
    was, is_now = ({port.get("nodePort") for port in one.get("ports") or ()} for one in (before, spec))
    if before.get("type") in ported and spec.get("type") not in ported and was == is_now:
        spec["ports"] = [{name: value for name, value in port.items() if name != "nodePort"} for port in spec.get("ports") or ()]
    new["spec"] = schema.ordered("ServiceSpec", spec)


def _useless(spec: JSON, before: JSON) -> Iterable[tuple[str, ...]]:
    """What may have been filled in for the old type and means nothing for the new one."""
    kind, was = spec.get("type"), before.get("type")
    if kind == "ExternalName" and was != kind:
        yield from (("clusterIP", "clusterIPs"), ("ipFamilies",), ("ipFamilyPolicy",))
    if was == "LoadBalancer" and kind != was:
        yield from (("allocateLoadBalancerNodePorts",), ("loadBalancerClass",))
    if validation_services.externally_accessible(before) and not validation_services.externally_accessible(spec):
        yield ("externalTrafficPolicy",)
    if validation_services.needs_health_check(before) and not validation_services.needs_health_check(spec):
        yield ("healthCheckNodePort",)


def _free(taken: Collection[str]) -> Iterable[ipaddress.IPv4Address]:
    first = int(NETWORK.network_address)
    for number in [*range(_RESERVED, NETWORK.num_addresses - 1), *range(1, _RESERVED)]:
        address = ipaddress.IPv4Address(first + number)
        if str(address) not in taken and str(address) != API_ADDRESS:
            yield address


def variables(services: Iterable[JSON]) -> dict[str, str]:
    """``WEB_SERVICE_HOST`` and the rest, in Docker's old way too, for every Service with an address.

    Not for the API server's own: it cannot be reached there, and a client that finds these variables would believe it could.
    """
    found: dict[str, str] = {}
    for service in services:
        spec: JSON = service.get("spec") or {}
        address, ports = spec.get("clusterIP") or HEADLESS, spec.get("ports") or ()
        if address in (HEADLESS, API_ADDRESS) or not ports:
            continue
        prefix = str(service["metadata"]["name"]).upper().replace("-", "_")
        found[f"{prefix}_SERVICE_HOST"] = address
        found[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                found[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        found |= _links(prefix, address, ports)
    return found


def api_links(service: JSON) -> dict[str, str]:
    """``KUBERNETES_PORT`` and the rest of Docker's old way for the API server's own Service.

    Every Pod of a cluster has them and some print them; no client takes them for a way to the server, as it would KUBERNETES_SERVICE_HOST.
    """
    ports = (service.get("spec") or {}).get("ports") or ()
    return _links("KUBERNETES", API_ADDRESS, ports) if ports else {}


def _links(prefix: str, address: str, ports: Iterable[JSON]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol") or "TCP", port["port"]
        url = f"{protocol.lower()}://{address}:{number}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        name = f"{prefix}_PORT_{number}_{protocol}"
        found |= {name: url, f"{name}_PROTO": protocol.lower(), f"{name}_PORT": str(number), f"{name}_ADDR": address}
    return found
