"""Rules of a Pod's spec, in the order a real server checks them, because the order of causes is what users see.

Called by ``validation`` and ``validation_update``; the parts are in the other ``validation_*`` modules.
Source: kubernetes pkg/apis/core/validation, ValidatePodSpec.
"""

from __future__ import annotations

from podspace.kube import (
    addresses,
    names,
    validation_annotations,
    validation_containers,
    validation_resources,
    validation_scheduling,
    validation_security,
    validation_volumes,
    validation_windows,
)
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import labels
from podspace.kube.validation_paths import MAX_INT32
from podspace.kube.validation_report import Report

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_NAMESERVERS = 3
_MAX_SEARCHES = 32
_MAX_SEARCH_CHARACTERS = 2048
_NOT_HOST_USERS = "when `hostUsers` is false"


def create(report: Report, obj: JSON) -> None:
    """Rules of creation only."""
    spec: JSON = obj.get("spec") or {}
    annotations: JSON = (obj.get("metadata") or {}).get("annotations") or {}
    if spec.get("ephemeralContainers"):
        report.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        report.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    validation_annotations.seccomp_fields(report, annotations, spec)
    if (spec.get("os") or {}).get("name") != "windows":
        validation_annotations.apparmor_fields(report, annotations, spec)


def spec_rules(report: Report, obj: JSON) -> None:
    """Rules of a spec at any time."""
    spec: JSON = obj.get("spec") or {}
    validation_annotations.of_pod(report, (obj.get("metadata") or {}).get("annotations") or {}, spec)
    _contents(report, spec, (obj.get("metadata") or {}).get("name", ""))
    _surroundings(report, spec)
    _identity(report, spec)
    validation_windows.operating_system(report, spec)
    _files_of_variables(report, spec)
    if not spec.get("serviceAccountName"):
        _no_tokens(report, spec)
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            validation_containers.only_for_pods(report, container, f"spec.{field}[{index}]")


def _contents(report: Report, spec: JSON, name: str) -> None:
    """Volumes and containers."""
    known = validation_volumes.volumes(report, spec.get("volumes") or [], name, "spec.volumes")
    claims = spec.get("resourceClaims") or []
    _claims(report, claims, "spec.resourceClaims")
    claim_names = frozenset(claim["name"] for claim in claims if claim.get("name"))
    context = validation_containers.Context(
        volumes=known,
        grace_seconds=spec.get("terminationGracePeriodSeconds"),
        restart_policy=spec.get("restartPolicy", ""),
        host_users=spec.get("hostUsers") is not False,
        claims=claim_names,
        system=(spec.get("os") or {}).get("name", ""),
    )
    regular: list[JSON] = spec.get("containers") or []
    validation_containers.containers(report, regular, context, "spec.containers")
    validation_containers.init_containers(report, spec.get("initContainers") or [], regular, context, "spec.initContainers")
    validation_containers.ephemeral_containers(report, spec, context, "spec.ephemeralContainers")
    if "resources" in spec:
        validation_resources.pod_resources(report, spec, claim_names, "spec.resources")
    if spec.get("hostNetwork"):
        _host_network_ports(report, spec)


def _files_of_variables(report: Report, spec: JSON) -> None:
    """A fileKeyRef reads from an emptyDir of the Pod: what else a volume may hold was not written by its containers."""
    sources = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            for place, variable in enumerate(container.get("env") or ()):
                reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
                name = None if reference is None else reference.get("volumeName", "")
                path = f"spec.{field}[{index}].env[{place}].valueFrom.fileKeyRef.volumeName"
                if name is None:
                    continue
                if name not in sources:
                    report.not_found(path, name)
                elif "emptyDir" not in sources[name]:
                    report.invalid(path, name, "referenced volume must be of type emptyDir")


def _surroundings(report: Report, spec: JSON) -> None:
    """Policies, security, scheduling, DNS, host namespaces."""
    policy = spec.get("restartPolicy")
    report.one_of("spec.restartPolicy", policy, RESTART_POLICIES)
    report.one_of("spec.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    labels(report, spec.get("nodeSelector") or {}, "spec.nodeSelector")
    validation_security.pod_context(report, spec, "spec.securityContext")
    if "affinity" in spec:
        validation_scheduling.affinity(report, spec["affinity"], "spec.affinity")
    _dns(report, spec)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType", "")
        report.invalids(f"spec.readinessGates[{index}].conditionType", kind, names.qualified(kind))
    validation_scheduling.gates(report, spec.get("schedulingGates") or [], "spec.schedulingGates")
    validation_scheduling.spread(report, spec.get("topologySpreadConstraints") or [], "spec.topologySpreadConstraints")
    validation_windows.host_process(report, spec)
    if spec.get("hostUsers") is False:
        _own_users(report, spec)
    _hostname_override(report, spec)


def _identity(report: Report, spec: JSON) -> None:
    """Names, numbers and lists that stand for themselves."""
    for name in ("serviceAccountName", "nodeName"):
        if spec.get(name):
            report.invalids(f"spec.{name}", spec[name], names.subdomain(spec[name]))
    report.within("spec.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, MAX_INT32)
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            report.invalids(f"spec.{name}", spec[name], names.label(spec[name]))
    validation_scheduling.tolerations(report, spec.get("tolerations") or [], "spec.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        _ip(report, alias.get("ip", ""), f"spec.hostAliases[{index}].ip")
        for number, hostname in enumerate(alias.get("hostnames") or ()):
            report.invalids(f"spec.hostAliases[{index}].hostnames[{number}]", hostname, names.subdomain(hostname))
    for name in ("priorityClassName", "runtimeClassName"):
        if spec.get(name):
            report.invalids(f"spec.{name}", spec[name], names.subdomain(spec[name]))
    if "preemptionPolicy" in spec and spec["preemptionPolicy"] not in ("PreemptLowerPriority", "Never"):
        report.unsupported("spec.preemptionPolicy", spec["preemptionPolicy"], ("PreemptLowerPriority", "Never"))
    if "overhead" in spec:
        validation_resources.overhead(report, spec["overhead"], "spec.overhead")


def _hostname_override(report: Report, spec: JSON) -> None:
    name = spec.get("hostnameOverride")
    if name is None:
        return
    if spec.get("setHostnameAsFQDN"):
        report.forbidden("spec.hostnameOverride", "may not be specified when setHostnameAsFQDN is true")
    if spec.get("hostNetwork"):
        report.forbidden("spec.hostnameOverride", "may not be specified when hostNetwork is true")
    if len(name) > 64:
        report.too_long("spec.hostnameOverride", 64)
    report.invalids("spec.hostnameOverride", name, names.subdomain(name))


def _claims(report: Report, claims: list[JSON], field: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        path, name = f"{field}[{index}]", claim.get("name", "")
        if not name:
            report.required(f"{path}.name")
        elif name in seen:
            report.duplicate(f"{path}.name", name)
        else:
            report.invalids(f"{path}.name", name, names.label(name))
        seen.add(name)
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": direct, "ResourceClaimTemplateName": template}
        if direct is not None and template is not None:
            report.invalid(path, shown, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
        if direct is None and template is None:
            report.invalid(path, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for field_name, reference in (("resourceClaimName", direct), ("resourceClaimTemplateName", template)):
            if reference is not None:
                report.invalids(f"{path}.{field_name}", reference, names.subdomain(reference))


def _host_network_ports(report: Report, spec: JSON) -> None:
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort") != port.get("containerPort"):
                path = f"spec.containers[{index}].ports[{number}].hostPort"
                report.invalid(path, port.get("hostPort", 0), "must match `containerPort` when `hostNetwork` is true")


def _dns(report: Report, spec: JSON) -> None:
    config: JSON | None = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            report.required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            report.required("spec.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            return
    if not config:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _MAX_NAMESERVERS:
        report.invalid("spec.dnsConfig.nameservers", servers, f"must not have more than {_MAX_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        _ip(report, server, f"spec.dnsConfig.nameservers[{index}]")
    if len(searches) > _MAX_SEARCHES:
        report.invalid("spec.dnsConfig.searches", searches, f"must not have more than {_MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > _MAX_SEARCH_CHARACTERS:
        detail = f"must not have more than {_MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        report.invalid("spec.dnsConfig.searches", searches, detail)
    for index, search in enumerate(searches):
        report.invalids(f"spec.dnsConfig.searches[{index}]", search, names.search_domain(search.removesuffix(".")) if search != "." else ())
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            report.required(f"spec.dnsConfig.options[{index}]", "must not be empty")


def _ip(report: Report, text: str, field: str) -> None:
    if problem := addresses.problem(text):
        report.invalid(field, text, problem)


def _own_users(report: Report, spec: JSON) -> None:
    """The capitals are Go's."""
    for wire, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(wire):
            report.forbidden(f"spec.{shown}", _NOT_HOST_USERS)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            if container.get("volumeDevices"):
                report.forbidden(f"spec.{field}[{index}].volumeDevices", _NOT_HOST_USERS)


def _no_tokens(report: Report, spec: JSON) -> None:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if "serviceAccountToken" in source:
                path = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                report.forbidden(path, "must not be specified when serviceAccountName is not set")
