"""Rules of containers: those they all share, and what sets init and ephemeral containers apart.

Called by ``validation_pod``. Source: kubernetes pkg/apis/core/validation, validateContainers and its siblings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from podspace.kube import names, validation_env, validation_probes, validation_resources, validation_security, validation_volumes
from podspace.kube.json import JSON
from podspace.kube.validation_paths import port_number
from podspace.kube.validation_report import Report

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TERMINATION_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_INIT_ONLY = "may not be set for init containers without restartPolicy=Always"
_EPHEMERAL = "cannot be set for an Ephemeral Container"
_NOT_EPHEMERAL = (
    *("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe"),
    *("startupProbe", "lifecycle"),
)
_NO_RESTART = "must not be set to 'RestartContainer' for non-sidecar initContainers"
_NEEDS_POLICY = "must specify restartPolicy when restart rules are used"
_MAX_RULES = 20
_MAX_EXIT_CODES = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What of the Pod a container's rules depend on."""

    volumes: dict[str, JSON]
    grace_seconds: int | None
    restart_policy: str
    host_users: bool
    system: str = ""
    claims: frozenset[str] = field(default_factory=frozenset)


def containers(report: Report, given: list[JSON], context: Context, path: str) -> None:
    if not given:
        report.required(path)
        return
    seen: set[str] = set()
    for index, container in enumerate(given):
        here = f"{path}[{index}]"
        _common(report, container, context, here)
        name = container.get("name", "")
        if name in seen:
            report.duplicate(f"{here}.name", name)
        seen.add(name)
        _hooks_and_probes(report, container, context, here)
        _restart(report, container, here)
    _host_ports(report, given, path)


def init_containers(report: Report, given: list[JSON], regular: list[JSON], context: Context, path: str) -> None:
    seen = {container.get("name", "") for container in regular}
    for index, container in enumerate(given):
        here = f"{path}[{index}]"
        _common(report, container, context, here)
        _init_restart(report, container, here)
        name = container.get("name", "")
        if name in seen:
            report.duplicate(f"{here}.name", name)
        elif name:
            seen.add(name)
        _host_ports(report, [container], path)
        if container.get("restartPolicy") == "Always":
            _hooks_and_probes(report, container, context, here)
            continue
        for forbidden in ("lifecycle", *validation_probes.PROBES):
            if forbidden in container:
                report.forbidden(f"{here}.{forbidden}", _INIT_ONLY)
        for place, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                report.invalid(f"{here}.resizePolicy[{place}].restartPolicy", "RestartContainer", _NO_RESTART)


def ephemeral_containers(report: Report, spec: JSON, context: Context, path: str) -> None:
    regular: list[JSON] = spec.get("containers") or []
    seen = {container.get("name", "") for container in (*regular, *(spec.get("initContainers") or ()))}
    targets = frozenset(seen)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        here = f"{path}[{index}]"
        _common(report, container, context, here)
        only_for_pods(report, container, here)
        name = container.get("name", "")
        if name in seen:
            report.duplicate(f"{here}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            report.not_found(f"{here}.targetContainerName", target)
        for forbidden in _NOT_EPHEMERAL:
            if forbidden in container and (container[forbidden] or forbidden != "resources"):
                report.forbidden(f"{here}.{forbidden}", _EPHEMERAL)
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for forbidden in ("subPath", "subPathExpr"):
                if mount.get(forbidden):
                    report.forbidden(f"{here}.volumeMounts[{number}].{forbidden}", _EPHEMERAL)


def only_for_pods(report: Report, container: JSON, path: str) -> None:
    """A rule templates of Pods do not have."""
    image = container.get("image", "")
    if image != image.strip():
        report.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _common(report: Report, container: JSON, context: Context, path: str) -> None:
    name = container.get("name", "")
    if not name:
        report.required(f"{path}.name")
    else:
        report.invalids(f"{path}.name", name, names.label(name))
    if not container.get("image"):
        report.required(f"{path}.image")
    report.one_of(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _TERMINATION_POLICIES)
    _ports(report, container.get("ports") or [], f"{path}.ports")
    validation_env.env(report, container.get("env") or [], f"{path}.env")
    validation_env.env_from(report, container.get("envFrom") or [], f"{path}.envFrom")
    validation_volumes.mounts(report, container, context.volumes, f"{path}.volumeMounts")
    validation_volumes.devices(report, container, context.volumes, f"{path}.volumeDevices")
    report.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    if resources := container.get("resources"):
        validation_resources.container_resources(report, resources, context.claims, f"{path}.resources")
    if policies := container.get("resizePolicy"):
        validation_resources.resize_policy(report, policies, context.restart_policy, f"{path}.resizePolicy")
    if security := container.get("securityContext"):
        validation_security.container_context(report, security, f"{path}.securityContext", host_users=context.host_users)


def _hooks_and_probes(report: Report, container: JSON, context: Context, path: str) -> None:
    if "lifecycle" in container:
        validation_probes.lifecycle(report, container["lifecycle"], context.grace_seconds, context.system, f"{path}.lifecycle")
    validation_probes.probes(report, container, context.grace_seconds, path)


def _ports(report: Report, ports: list[JSON], path: str) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if name := port.get("name"):
            problems = names.port_name(name)
            report.invalids(f"{here}.name", name, problems)
            if not problems and name in seen:
                report.duplicate(f"{here}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            report.required(f"{here}.containerPort")
        else:
            port_number(report, port["containerPort"], f"{here}.containerPort")
        if port.get("hostPort"):
            port_number(report, port["hostPort"], f"{here}.hostPort")
        report.one_of(f"{here}.protocol", port.get("protocol"), _PROTOCOLS)


def _host_ports(report: Report, given: list[JSON], path: str) -> None:
    seen: set[str] = set()
    for index, container in enumerate(given):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if key in seen:
                    report.duplicate(f"{path}[{index}].ports[{number}].hostPort", key)
                seen.add(key)


def _init_restart(report: Report, container: JSON, path: str) -> None:
    if "restartPolicy" in container:
        _restart(report, container, path)
    elif container.get("restartPolicyRules"):
        report.required(f"{path}.restartPolicy", _NEEDS_POLICY)


def _restart(report: Report, container: JSON, path: str) -> None:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is not None and policy not in _RESTART_POLICIES:
        report.unsupported(f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    if rules and policy is None:
        report.required(f"{path}.restartPolicy", _NEEDS_POLICY)
    if len(rules) > _MAX_RULES:
        report.too_many(f"{path}.restartPolicyRules", len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        _restart_rule(report, rule, f"{path}.restartPolicyRules[{index}]")


def _restart_rule(report: Report, rule: JSON, path: str) -> None:
    report.supported(f"{path}.action", rule.get("action", ""), ("Restart", "RestartAllContainers"))
    codes = rule.get("exitCodes")
    if codes is None:
        report.required(f"{path}.exitCodes", "must be specified")
        return
    report.supported(f"{path}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))
    values = codes.get("values") or []
    if len(values) > _MAX_EXIT_CODES:
        report.too_many(f"{path}.exitCodes.values", len(values), _MAX_EXIT_CODES)
