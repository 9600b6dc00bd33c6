"""Rules of ``windowsOptions``. No Windows Pod runs here, but what the API server would refuse is refused in its words.

Called by ``validation_security`` and ``validation_pod``.
Source: kubernetes pkg/apis/core/validation, validateWindowsSecurityContextOptions, validateWindowsHostProcessPod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from podspace.kube import names
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

_SPEC_KIB = 64
_DOMAIN_LIMIT = 256
_USER_LIMIT = 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_DOTS_AND_SPACES = re.compile(r"[. ]+")
_NOT_IN_USER = set('"/\\:;|=,+*?<>@[]')


def options(report: Report, wanted: JSON | None, field: str) -> None:
    if wanted is None:
        return
    if (name := wanted.get("gmsaCredentialSpecName")) is not None:
        report.invalids(f"{field}.gmsaCredentialSpecName", name, names.subdomain(name))
    if (spec := wanted.get("gmsaCredentialSpec")) is not None:
        if not spec:
            report.invalid(f"{field}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string")
        elif len(spec.encode()) > _SPEC_KIB << 10:
            report.invalid(f"{field}.gmsaCredentialSpec", spec, f"gmsaCredentialSpec size must be under {_SPEC_KIB} KiB")
    if (user := wanted.get("runAsUserName")) is not None:
        report.invalids(f"{field}.runAsUserName", user, list(_user_name(user)))


def _user_name(text: str) -> list[str]:
    """What is wrong with ``USER`` or ``DOMAIN\\USER``."""
    if not text:
        return ["runAsUserName cannot be an empty string"]
    if _CONTROL.search(text):
        return ["runAsUserName cannot contain control characters"]
    parts = text.split("\\")
    if len(parts) > 2:
        return ["runAsUserName cannot contain more than one backslash"]
    return [*(_domain(parts[0]) if len(parts) == 2 else ()), *_user(parts[-1])]


def _domain(text: str) -> list[str]:
    found = []
    if len(text.encode()) >= _DOMAIN_LIMIT:
        found.append(f"runAsUserName's Domain length must be under {_DOMAIN_LIMIT} characters")
    if not _NETBIOS.fullmatch(text) and not _DNS.fullmatch(text):
        found.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    return found


def _user(text: str) -> list[str]:
    found = []
    if not text:
        found.append("runAsUserName's User cannot be empty")
    elif len(text.encode()) > _USER_LIMIT:
        found.append(f"runAsUserName's User length must not be longer than {_USER_LIMIT} characters")
    if _DOTS_AND_SPACES.fullmatch(text):
        found.append("runAsUserName's User cannot contain only periods or spaces")
    if _NOT_IN_USER & set(text):
        found.append(r"""runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]""")
    return found


def host_process(report: Report, spec: JSON) -> None:
    """A Pod's containers are all of the host or none is, and then its network is the host's."""
    of_pod = _host_process(spec)
    every = [
        (f"spec.{field}[{index}]", container)
        for field in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(field) or ())
    ]
    count = 0
    for path, container in every:
        own = _host_process(container)
        if None not in (of_pod, own) and of_pod != own:
            words = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            report.invalid(f"{path}.securityContext.windowsOptions.hostProcess", own, words)
        count += bool(of_pod if own is None else own)
    if not count:
        return
    if count != len(every):
        report.invalid("spec", "", "If pod contains any hostProcess containers then all containers must be HostProcess containers")
    if not spec.get("hostNetwork"):
        report.invalid("spec.hostNetwork", False, "hostNetwork must be true if pod contains any hostProcess containers")


_NOT_ON_WINDOWS = "cannot be set for a windows pod"
_LINUX_CONTAINER = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged"),
    *("allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"),
)


def operating_system(report: Report, spec: JSON) -> None:
    """What belongs to the other system than the one the Pod names."""
    system = spec.get("os")
    if system is None:
        return
    match system.get("name", ""):
        case "":
            report.required("spec.os.name")
        case "linux":
            for path, context in _contexts(spec):
                if "windowsOptions" in context:
                    report.forbidden(f"{path}.windowsOptions", "windows options cannot be set for a linux pod")
        case "windows":
            _for_windows(report, spec)
        case name:
            report.unsupported("spec.os", name, ("linux", "windows"))


def _contexts(spec: JSON) -> Iterator[tuple[str, JSON]]:
    """Every security context: the Pod's, then its containers'."""
    yield "spec.securityContext", spec.get("securityContext") or {}
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}].securityContext", container.get("securityContext") or {}


def _for_windows(report: Report, spec: JSON) -> None:
    (path, of_pod), *others = _contexts(spec)
    for place, is_set in (
        *((f"{path}.{name}", name in of_pod) for name in ("appArmorProfile", "seLinuxOptions")),
        ("spec.hostUsers", "hostUsers" in spec),
        *((f"spec.{name}", spec.get(name)) for name in ("hostPID", "hostIPC")),
        *((f"{path}.{name}", name in of_pod) for name in ("seccompProfile", "fsGroup", "fsGroupChangePolicy")),
        (f"{path}.sysctls", of_pod.get("sysctls")),
        ("spec.shareProcessNamespace", "shareProcessNamespace" in spec),
        *((f"{path}.{name}", name in of_pod) for name in ("runAsUser", "runAsGroup", "supplementalGroups")),
        *((f"{path}.{name}", name in of_pod) for name in ("supplementalGroupsPolicy", "seLinuxChangePolicy")),
    ):
        if is_set:
            report.forbidden(place, _NOT_ON_WINDOWS)
    for path, context in others:
        for name in _LINUX_CONTAINER:
            if name in context:
                report.forbidden(f"{path}.{name}", _NOT_ON_WINDOWS)


def _host_process(holder: JSON) -> bool | None:
    found: bool | None = ((holder.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    return found
