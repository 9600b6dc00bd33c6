"""Rules of security contexts, of containers and of Pods.

Called by ``validation_containers`` and ``validation_pod``. Source: kubernetes pkg/apis/core/validation, ValidateSecurityContext.
"""

from __future__ import annotations

import re

from podspace.kube import names, validation_windows
from podspace.kube.json import JSON
from podspace.kube.validation_paths import descending_path, user_id
from podspace.kube.validation_report import Report

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_LOCALHOST_LIMIT = 4095
_SYSCTL = re.compile(names.SYSCTL, re.ASCII)
_SYSCTL_LIMIT = 253
_IPC_SYSCTLS = frozenset(
    ("kernel.sem", "kernel.shm", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.msg")
) | {"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni"}
# The unversioned Go struct, which messages show whole.
_CONTEXT_FIELDS = (
    *("capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot"),
    *("readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile"),
)


def container_context(report: Report, context: JSON, field: str, *, host_users: bool) -> None:
    user_id(report, context.get("runAsUser"), f"{field}.runAsUser")
    user_id(report, context.get("runAsGroup"), f"{field}.runAsGroup")
    _proc_mount(report, context.get("procMount"), f"{field}.procMount", host_users=host_users)
    seccomp(report, context.get("seccompProfile"), f"{field}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        _escalation(report, context, field)
    validation_windows.options(report, context.get("windowsOptions"), f"{field}.windowsOptions")
    apparmor(report, context.get("appArmorProfile"), f"{field}.appArmorProfile")


def pod_context(report: Report, spec: JSON, field: str) -> None:
    """``shareProcessNamespace`` is reported below securityContext: there Go keeps it."""
    context: JSON = spec.get("securityContext") or {}
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        user_id(report, context.get(name), f"{field}.{name}")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        user_id(report, group, f"{field}.supplementalGroups[{index}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        report.invalid(f"{field}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled")
    _sysctls(report, spec, context.get("sysctls") or [], f"{field}.sysctls")
    if "fsGroupChangePolicy" in context:
        report.supported(f"{field}.fsGroupChangePolicy", context["fsGroupChangePolicy"], ("Always", "OnRootMismatch"))
    seccomp(report, context.get("seccompProfile"), f"{field}.seccompProfile")
    validation_windows.options(report, context.get("windowsOptions"), f"{field}.windowsOptions")
    apparmor(report, context.get("appArmorProfile"), f"{field}.appArmorProfile")
    if "supplementalGroupsPolicy" in context:
        report.supported(f"{field}.supplementalGroupsPolicy", context["supplementalGroupsPolicy"], ("Merge", "Strict"))
    if "seLinuxChangePolicy" in context:  # MountOption is behind a feature gate that is off in 1.36
        report.supported(f"{field}.seLinuxChangePolicy", context["seLinuxChangePolicy"], ("Recursive",))


def seccomp(report: Report, profile: JSON | None, field: str) -> None:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        report.required(f"{field}.type", "type is required when seccompProfile is set")
    elif kind not in _PROFILES:
        report.unsupported(f"{field}.type", kind, _PROFILES)
    if kind == "Localhost":
        if local is None:
            report.required(f"{field}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            descending_path(report, local, f"{field}.localhostProfile")
    elif local is not None:
        shown = {"Type": kind, "LocalhostProfile": local}
        report.invalid(f"{field}.localhostProfile", shown, "can only be set when seccomp type is Localhost")


def apparmor(report: Report, profile: JSON | None, field: str) -> None:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    path: str = local or ""
    if not kind:
        report.required(f"{field}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        report.unsupported(f"{field}.type", kind, _PROFILES)
    elif kind != "Localhost":
        if local is not None:
            report.invalid(f"{field}.localhostProfile", local, "can only be set when AppArmor type is Localhost")
    elif not path:
        report.required(f"{field}.localhostProfile", "must be set when AppArmor type is Localhost")
    elif path != path.strip():
        report.invalid(f"{field}.localhostProfile", local, "must not be padded with whitespace")
    if kind == "Localhost" and len(path) > _LOCALHOST_LIMIT:
        report.too_long(f"{field}.localhostProfile", _LOCALHOST_LIMIT)


def _proc_mount(report: Report, value: str | None, field: str, *, host_users: bool) -> None:
    if value is None:
        return
    if value not in ("Default", "Unmasked"):
        report.unsupported(field, value, ("Default", "Unmasked"))
    if host_users and value == "Unmasked":
        report.invalid(field, value, "`hostUsers` must be false to use `Unmasked`")


def _escalation(report: Report, context: JSON, field: str) -> None:
    shown = {name[0].upper() + name[1:]: context.get(name) for name in _CONTEXT_FIELDS}
    if capabilities := context.get("capabilities"):
        shown["Capabilities"] = {"Add": capabilities.get("add"), "Drop": capabilities.get("drop")}
    shown = {{"SeLinuxOptions": "SELinuxOptions"}.get(name, name): value for name, value in shown.items()}
    if context.get("privileged"):
        report.invalid(field, shown, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
    if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
        report.invalid(field, shown, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")


def _sysctls(report: Report, spec: JSON, sysctls: list[JSON], field: str) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        path, name = f"{field}[{index}].name", sysctl.get("name", "")
        if not name:
            report.required(path)
        elif len(name) > _SYSCTL_LIMIT or not _SYSCTL.fullmatch(name):
            report.invalid(path, name, f"must have at most {_SYSCTL_LIMIT} characters and match regex ^{names.SYSCTL}$")
        elif name in seen:
            report.duplicate(path, name)
        dotted = _dotted(name)
        if spec.get("hostNetwork") and dotted.startswith("net."):
            report.invalid(path, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and (dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue.")):
            report.invalid(path, name, "may not be specified when 'hostIPC' is true")
        seen.add(name)


def _dotted(name: str) -> str:
    """sysctl.d takes slashes for dots, and then dots for slashes, if a slash comes first."""
    first = re.search(r"[./]", name)
    return name.translate(str.maketrans("/.", "./")) if first and first[0] == "/" else name
