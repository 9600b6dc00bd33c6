"""Rules of Services.

Called by ``validation``, and by ``services`` for the addresses of new ones. Source: kubernetes pkg/apis/core/validation, validateService.
"""

from __future__ import annotations

import ipaddress

from podspace.kube import addresses, names
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import labels
from podspace.kube.validation_paths import port as port_of
from podspace.kube.validation_report import Report

HEADLESS = "None"
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_LONGEST_AFFINITY_SECONDS = 86400
_BALANCED_ONLY = "may only be used when `type` is 'LoadBalancer'"
_NOT_EXTERNAL = "may not be set for ExternalName services"
_SPECIAL = (
    ("is_loopback", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("is_link_local", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
)
_LINK_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def service(report: Report, obj: JSON) -> None:
    spec: JSON = obj.get("spec") or {}
    ports: list[JSON] = spec.get("ports") or []
    kind = spec.get("type", "")
    headless = spec.get("clusterIPs") == [HEADLESS]
    if not ports and not headless and kind != "ExternalName":
        report.required("spec.ports")
    if headless and kind in ("LoadBalancer", "NodePort"):
        report.invalid("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        _external_name(report, spec)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        _port(report, f"spec.ports[{index}]", port, seen, named=len(ports) > 1)
    labels(report, spec.get("selector") or {}, "spec.selector")
    report.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    _affinity(report, spec)
    related(report, spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        _external_address(report, address, f"spec.externalIPs[{index}]")
    report.one_of("spec.type", kind, _TYPES)
    _duplicates(report, ports, kind)
    _balancer(report, spec, kind)
    _policies(report, spec, kind)


def service_update(report: Report, new: JSON, old: JSON) -> None:
    service(report, new)
    before, after = (one.get("spec") or {} for one in (old, new))
    if "ExternalName" in (before.get("type"), after.get("type")):
        return
    was, is_now = (spec.get("clusterIPs") or [] for spec in (before, after))
    if was and not is_now:
        report.invalid("spec.clusterIPs[0]", None, "primary clusterIP can not be unset")
    elif was and was[0] != is_now[0]:
        report.invalid("spec.clusterIPs[0]", is_now, "may not change once set")
    same_type = before.get("type") == after.get("type") == "LoadBalancer"
    if same_type and before.get("loadBalancerClass") != after.get("loadBalancerClass"):
        report.invalid("spec.loadBalancerClass", after.get("loadBalancerClass"), "may not change once set")


def related(report: Report, spec: JSON) -> None:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, which a real server looks at before it gives out addresses, too."""
    if spec.get("type") == "ExternalName":
        return
    single, many, families = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    if single and not many:
        report.required("spec.clusterIPs")
    elif single and many[0] != single:
        report.invalid("spec.clusterIPs", many, "first value must match `clusterIP`")
    elif many and not single:
        report.invalid("spec.clusterIPs", many, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(families):
        report.supported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            report.duplicate(f"spec.ipFamilies[{index}]", family)
    if "ipFamilyPolicy" in spec:
        report.supported("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], _FAMILY_POLICIES)
    _addresses(report, many, families, "spec.clusterIPs")


def _addresses(report: Report, many: list[str], families: list[str], field: str) -> None:
    before = len(report.causes)
    if many[:1] == [HEADLESS] and len(many) > 1:
        report.invalid(field, many, "'None' must be the first and only value")
    for index, address in enumerate(many):
        if (index, address) != (0, HEADLESS) and (problem := addresses.problem(address)):
            report.invalid(f"{field}[{index}]", address, problem)
    bad = len(report.causes) > before
    if len(many) > 2:
        report.invalid(field, many, "may only hold up to 2 values")
    if bad or many == [HEADLESS]:
        return
    if len(many) > 1 and len({":" in address for address in many}) != len(many):
        report.invalid(field, many, "may specify no more than one IP for each IP family")
    for index, (address, family) in enumerate(zip(many, families, strict=False)):
        if (":" in address) != (family == "IPv6"):
            report.invalid(f"{field}[{index}]", address, f"expected an {family} value as indicated by `ipFamilies[{index}]`")


def _external_name(report: Report, spec: JSON) -> None:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            report.forbidden(f"spec.{field}", _NOT_EXTERNAL)
    if name := spec.get("externalName", "").removesuffix("."):
        report.invalids("spec.externalName", name, names.subdomain(name))
    else:
        report.required("spec.externalName")


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
    report.one_of(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
    port_of(report, port.get("targetPort", 0), f"{path}.targetPort")
    if "appProtocol" in port:
        report.invalids(f"{path}.appProtocol", port["appProtocol"], names.qualified(port["appProtocol"]))


def _affinity(report: Report, spec: JSON) -> None:
    config, field = spec.get("sessionAffinityConfig"), "spec.sessionAffinityConfig"
    if spec.get("sessionAffinity") == "None" and config is not None:
        report.forbidden(field, "must not be set when session affinity is None")
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if spec.get("sessionAffinity") == "ClientIP" and seconds is not None and not 0 < seconds <= _LONGEST_AFFINITY_SECONDS:
        words = f"must be greater than 0 and less than {_LONGEST_AFFINITY_SECONDS}"
        report.invalid(f"{field}.clientIP.timeoutSeconds", seconds, words)


def _external_address(report: Report, address: str, field: str) -> None:
    if problem := addresses.problem(address):
        report.invalid(field, address, problem)
        return
    found = ipaddress.ip_address(address)
    if found.is_unspecified:
        report.invalid(field, address, f"may not be unspecified ({address})")
    for what, words in _SPECIAL:
        if getattr(found, what):
            report.invalid(field, address, words)
    if any(found in network for network in _LINK_MULTICAST):
        report.invalid(field, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _duplicates(report: Report, ports: list[JSON], kind: str) -> None:
    outside = [(port.get("protocol", ""), port.get("nodePort") or 0) for port in ports]
    for index, (_, number) in enumerate(outside):
        if number and kind == "ClusterIP":
            report.forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    for index, key in enumerate(outside):
        if key[1] and key in outside[:index]:
            report.duplicate(f"spec.ports[{index}].nodePort", key[1])
    inside = [(port.get("protocol", ""), port.get("port", 0)) for port in ports]
    for index, (protocol, number) in enumerate(inside):
        if (protocol, number) in inside[:index]:
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number, "TargetPort": 0, "NodePort": 0}
            report.duplicate(f"spec.ports[{index}]", shown)


def _balancer(report: Report, spec: JSON, kind: str) -> None:
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and kind != "LoadBalancer":
        report.forbidden("spec.LoadBalancerSourceRanges", _BALANCED_ONLY)
    for index, text in enumerate(ranges):
        if problem := addresses.network_problem(text.strip()):
            report.invalid(f"spec.LoadBalancerSourceRanges[{index}]", text.strip(), problem)
    if "allocateLoadBalancerNodePorts" in spec and kind != "LoadBalancer":
        report.forbidden("spec.allocateLoadBalancerNodePorts", _BALANCED_ONLY)
    if "loadBalancerClass" in spec:
        if kind == "LoadBalancer":
            report.invalids("spec.loadBalancerClass", spec["loadBalancerClass"], names.qualified(spec["loadBalancerClass"]))
        else:
            report.forbidden("spec.loadBalancerClass", _BALANCED_ONLY)


def _policies(report: Report, spec: JSON, kind: str) -> None:
    outer, check_port = spec.get("externalTrafficPolicy", ""), spec.get("healthCheckNodePort") or 0
    if not externally_accessible(spec):
        if outer:
            report.invalid("spec.externalTrafficPolicy", outer, "may only be set for externally-accessible services")
    else:
        report.one_of("spec.externalTrafficPolicy", outer, _POLICIES)
    if not needs_health_check(spec):
        if check_port:
            words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            report.invalid("spec.healthCheckNodePort", check_port, words)
    elif check_port:
        report.within("spec.healthCheckNodePort", check_port, 1, 65535)
    if "internalTrafficPolicy" in spec:
        report.supported("spec.internalTrafficPolicy", spec["internalTrafficPolicy"], _POLICIES)
    if "trafficDistribution" in spec:
        report.supported("spec.trafficDistribution", spec["trafficDistribution"], _DISTRIBUTIONS)


def externally_accessible(spec: JSON) -> bool:
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: JSON) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def warnings(obj: JSON) -> list[str]:
    """What is accepted and means nothing."""
    spec: JSON = obj.get("spec") or {}
    kind, outer = spec.get("type"), spec.get("externalIPs") or []
    headless = kind == "ClusterIP" and spec.get("clusterIP") == HEADLESS
    cluster = [] if kind == "ExternalName" or spec.get("clusterIP") in ("", HEADLESS) else spec.get("clusterIPs") or []
    found = [line for index, address in enumerate(cluster) for line in addresses.advice(address, f"spec.clusterIPs[{index}]")]
    if headless:
        found += ["spec.loadBalancerIP is ignored for headless services"] if spec.get("loadBalancerIP") else []
        found += ["spec.externalIPs is ignored for headless services"] if outer else []
        found += ["spec.SessionAffinity is ignored for headless services"] if spec.get("sessionAffinity") != "None" else []
    found += [line for index, address in enumerate(outer) for line in addresses.advice(address, f"spec.externalIPs[{index}]")]
    if outer and not headless and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if kind == "ExternalName" and outer:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if kind != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found
