"""Services as objects: addresses, defaults that depend on others, rules. Nothing routes to them here; their variables reach Pods.

Called by ``api`` when one is created, and by ``node`` for the variables. Pure.
Source: kubernetes pkg/registry/core/service, pkg/apis/core/validation ValidateService; kubelet envvars.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from podspace.kube import names, schema
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
API_ADDRESS = "10.96.0.1"
HEADLESS = "None"
WARNING = "nothing routes to Services on this machine: Pods are reached at their own addresses, ports of the host by hostPort"
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESERVED = 256  # the lower part of the range is for addresses that somebody asks for


def allocate(obj: JSON, taken: Collection[str]) -> None:
    """Give a new, defaulted Service its address, unless it brings one or wants none. In place."""
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP"):
        spec["clusterIP"] = next(str(address) for address in _free(taken))
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    obj["spec"] = schema.ordered("ServiceSpec", spec)


def keep(new: JSON, old: JSON) -> None:
    """A manifest does not repeat the address that was given when the Service was made."""
    spec, before = new["spec"], old.get("spec") or {}
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if field in before and spec.get("type") != "ExternalName":
            spec.setdefault(field, before[field])
    new["spec"] = schema.ordered("ServiceSpec", spec)


def _free(taken: Collection[str]) -> Iterable[ipaddress.IPv4Address]:
    first = int(NETWORK.network_address)
    for number in [*range(_RESERVED, NETWORK.num_addresses - 1), *range(1, _RESERVED)]:
        address = ipaddress.IPv4Address(first + number)
        if str(address) not in taken and str(address) != API_ADDRESS:
            yield address


def rules(report: Report, obj: JSON) -> None:
    """Complain about a Service."""
    spec: JSON = obj.get("spec") or {}
    ports = spec.get("ports") or ()
    kind = spec.get("type", "")
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != HEADLESS:
        report.required("spec.ports")
    if kind not in _TYPES:
        report.unsupported("spec.type", kind, _TYPES)
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        report.unsupported("spec.sessionAffinity", spec.get("sessionAffinity", ""), ("ClientIP", "None"))
    if kind == "ExternalName" and not spec.get("externalName"):
        report.required("spec.externalName", "must be specified for `type: ExternalName`")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        _port(report, f"spec.ports[{index}]", port, seen, named=len(ports) > 1)
    _address(report, spec.get("clusterIP") or "")


def _port(report: Report, path: str, port: JSON, seen: set[str], *, named: bool) -> None:
    name = port.get("name", "")
    if named and not name:
        report.required(f"{path}.name")
    elif name:
        report.invalids(f"{path}.name", name, names.label(name))
        if name in seen:
            report.duplicate(f"{path}.name", name)
        seen.add(name)
    report.within(f"{path}.port", port.get("port", 0), 1, 65535)
    if port.get("protocol") not in _PROTOCOLS:
        report.unsupported(f"{path}.protocol", port.get("protocol", ""), _PROTOCOLS)
    target = port.get("targetPort")
    if isinstance(target, int):
        report.within(f"{path}.targetPort", target, 1, 65535)


def _address(report: Report, address: str) -> None:
    if address in ("", HEADLESS):
        return
    try:
        if ipaddress.ip_address(address) in NETWORK:
            return
        why = f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {NETWORK}"
    except ValueError:
        why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    report.invalid("spec.clusterIPs[0]", [address] if "range" in why else address, why)


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
