"""Pod Security Standards: what the levels ``baseline`` and ``restricted`` forbid a Pod, in the words of the admission plugin.

Called by ``api`` (``pod_policy``) for Pods in namespaces that say so by label. Pure: a level, a version and a Pod in, sentences out.
Source: kubernetes.io "Pod Security Standards"; pod-security-admission policy of 1.36, for words, order and since when a rule holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from podspace.kube.json import JSON

Level = Literal["privileged", "baseline", "restricted"]
LEVELS: tuple[Level, ...] = ("privileged", "baseline", "restricted")
LATEST = 1_000  # minor of "latest"
_USER_NAMESPACES_SINCE = 35
_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
})  # fmt: skip
_VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"})
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SYSCTLS = {
    0: {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"),
        *("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"),
    },
    27: {"net.ipv4.ip_local_reserved_ports"},
    29: {f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")},
    32: {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"},
}
_SECCOMP = ("Localhost", "RuntimeDefault")
_SECCOMP_WORDS = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


class Violation(NamedTuple):
    """``reason`` is short, ``detail`` names containers and values."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


class _Rule(NamedTuple):
    since: int
    check: Callable[[JSON, int], Violation | None]


def violations(level: Level, minor: int, pod: JSON) -> list[Violation]:
    """What a Pod does that the level of that Kubernetes minor (or LATEST) forbids."""
    rules = {"privileged": (), "baseline": _BASELINE, "restricted": _RESTRICTED}[level]
    return [found for rule in rules if minor >= rule.since and (found := rule.check(pod, minor))]


def words(found: Iterable[Violation]) -> str:
    """``privileged (container "a" must not ...), hostPort (...)``."""
    return ", ".join(map(str, found))


def _containers(pod: JSON) -> Iterator[JSON]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod["spec"].get(field) or ()


def _context(holder: JSON) -> JSON:
    return holder.get("securityContext") or {}


def _quoted(names: Iterable[Any]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _some(kind: str, names: list[str]) -> str:
    return f"{kind if len(names) == 1 else kind + 's'} {_quoted(names)}"


def _named(pod: JSON, wrong: Callable[[JSON], Any]) -> list[str]:
    return [container["name"] for container in _containers(pod) if wrong(container)]


def _setters(pod: JSON, wrong: Callable[[JSON], Any]) -> str:
    """Who sets something wrong: ``pod and containers "a", "b"``; "" if nobody does."""
    parts = ["pod"] if wrong(_context(pod["spec"])) else []
    if names := _named(pod, lambda container: wrong(_context(container))):
        parts.append(_some("container", names))
    return " and ".join(parts)


def _values(pod: JSON, find: Callable[[JSON], Iterable[Any]]) -> list[str]:
    """Every value that contexts of the Pod hold, sorted."""
    return sorted({str(value) for holder in (pod["spec"], *_containers(pod)) for value in find(_context(holder))})


def _app_armor(pod: JSON, minor: int) -> Violation | None:
    def wrong(context: JSON) -> list[str]:
        kind = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
        return [] if kind in ("RuntimeDefault", "Localhost") else [kind]

    noted = pod["metadata"].get("annotations") or {}
    bad = sorted(
        f"{key}={_quoted([value])}"
        for key, value in noted.items()
        if key.startswith(_APPARMOR_ANNOTATION) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    setters = [text for text in (_setters(pod, wrong), ("annotation" if len(bad) == 1 else "annotations") if bad else "") if text]
    if not setters:
        return None
    values = [*_values(pod, wrong), *bad]
    reason = "forbidden AppArmor profile" if len(values) == 1 else "forbidden AppArmor profiles"
    return Violation(reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}")


def _added(container: JSON, allowed: frozenset[str]) -> list[str]:
    return [name for name in (_context(container).get("capabilities") or {}).get("add") or () if name not in allowed]


def _added_words(pod: JSON, allowed: frozenset[str]) -> str:
    names = _named(pod, lambda container: _added(container, allowed))
    values = sorted({value for container in _containers(pod) for value in _added(container, allowed)})
    return f"{_some('container', names)} must not include {_quoted(values)} in securityContext.capabilities.add" if names else ""


def _capabilities(pod: JSON, minor: int) -> Violation | None:
    found = _added_words(pod, _CAPABILITIES)
    return Violation("non-default capabilities", found) if found else None


def _host_namespaces(pod: JSON, minor: int) -> Violation | None:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod["spec"].get(field)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def _host_paths(pod: JSON, minor: int) -> Violation | None:
    found = [volume["name"] for volume in pod["spec"].get("volumes") or () if "hostPath" in volume]
    return Violation("hostPath volumes", _some("volume", found)) if found else None


def _host_ports(pod: JSON, minor: int) -> Violation | None:
    def ports(container: JSON) -> list[str]:
        return [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]

    names, values = _named(pod, ports), sorted({port for container in _containers(pod) for port in ports(container)})
    uses = _uses(names, "hostPort", values)
    return Violation("hostPort", f"{uses} {', '.join(values)}") if names else None


def _uses(names: list[str], what: str, values: list[str], holder: str = "container") -> str:
    verb, plural = ("uses" if len(names) == 1 else "use"), ("" if len(values) == 1 else "s")
    return f"{_some(holder, names)} {verb} {what}{plural}"


def _probe_hosts(pod: JSON, minor: int) -> Violation | None:
    def hosts(container: JSON) -> list[str]:
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f"{name}Probe") for name in ("liveness", "readiness", "startup")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        asked = [(handler or {}).get(kind) or {} for handler in handlers for kind in ("httpGet", "tcpSocket")]
        return [action["host"] for action in asked if action.get("host")]

    names, values = sorted(_named(pod, hosts)), sorted({host for container in _containers(pod) for host in hosts(container)})
    what = "probe or lifecycle host"
    return Violation(what, f"{_uses(names, what, values)} {_quoted(values)}") if names else None


def _privileged(pod: JSON, minor: int) -> Violation | None:
    names = _named(pod, lambda container: _context(container).get("privileged"))
    return Violation("privileged", f"{_some('container', names)} must not set securityContext.privileged=true") if names else None


def _unmasked(pod: JSON, minor: int) -> Violation | None:
    def kind(container: JSON) -> list[str]:
        return [_context(container)["procMount"]] if _context(container).get("procMount", "Default") != "Default" else []

    names, values = _named(pod, kind), sorted({value for container in _containers(pod) for value in kind(container)})
    return (
        Violation("procMount", f"{_some('container', names)} must not set securityContext.procMount to {_quoted(values)}")
        if names
        else None
    )


def _relaxed(check: Callable[[JSON, int], Violation | None]) -> Callable[[JSON, int], Violation | None]:
    """Root of a user namespace is nobody outside of it: since 1.35 these rules do not hold there."""

    def relaxed(pod: JSON, minor: int) -> Violation | None:
        return None if minor >= _USER_NAMESPACES_SINCE and pod["spec"].get("hostUsers") is False else check(pod, minor)

    return relaxed


def _selinux(pod: JSON, minor: int) -> Violation | None:
    allowed = _SELINUX_TYPES if minor >= 31 else _SELINUX_TYPES[:-1]

    def options(context: JSON) -> JSON:
        return context.get("seLinuxOptions") or {}

    def wrong(context: JSON) -> bool:
        asked = options(context)
        return asked.get("type", "") not in allowed or bool(asked.get("user")) or bool(asked.get("role"))

    setters = _setters(pod, wrong)
    if not setters:
        return None
    types = _values(pod, lambda context: [options(context).get("type", "")] if options(context).get("type", "") not in allowed else [])
    data = [_some("type", types)] if types else []
    data += [f"{field} may not be set" for field in ("user", "role") if _values(pod, lambda c, f=field: [1] if options(c).get(f) else [])]  # type: ignore[misc] # bound at once
    return Violation("seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}")


def _wrong_seccomp(context: JSON) -> list[str]:
    profile = context.get("seccompProfile")
    return [profile.get("type", "")] if profile is not None and profile.get("type") not in _SECCOMP else []


def _seccomp(pod: JSON, minor: int) -> Violation | None:
    setters = _setters(pod, _wrong_seccomp)
    values = _quoted(_values(pod, _wrong_seccomp))
    return Violation("seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {values}") if setters else None


def _sysctls(pod: JSON, minor: int) -> Violation | None:
    allowed = {name for since, names in _SYSCTLS.items() if minor >= since for name in names}
    found = [one["name"] for one in _context(pod["spec"]).get("sysctls") or () if one["name"] not in allowed]
    return Violation("forbidden sysctls", ", ".join(found)) if found else None


def _escalation(pod: JSON, minor: int) -> Violation | None:
    names = _named(pod, lambda container: _context(container).get("allowPrivilegeEscalation") is not False)
    detail = f"{_some('container', names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if names else None


def _restricted_capabilities(pod: JSON, minor: int) -> Violation | None:
    keeping = _named(pod, lambda container: "ALL" not in ((_context(container).get("capabilities") or {}).get("drop") or ()))
    details = [f'{_some("container", keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if added := _added_words(pod, frozenset({"NET_BIND_SERVICE"})):
        details.append(added)
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _restricted_volumes(pod: JSON, minor: int) -> Violation | None:
    bad = {
        volume["name"]: next((kind for kind in volume if kind != "name"), "unknown")
        for volume in pod["spec"].get("volumes") or ()
        if not volume.keys() & _VOLUMES
    }
    names, kinds = list(bad), sorted(set(bad.values()))
    uses = _uses(names, "restricted volume type", kinds, "volume")
    return Violation("restricted volume types", f"{uses} {_quoted(kinds)}") if bad else None


def _root(pod: JSON, minor: int) -> Violation | None:
    reason = "runAsNonRoot != true"
    if setters := _setters(pod, lambda context: context.get("runAsNonRoot") is False):
        return Violation(reason, f"{setters} must not set securityContext.runAsNonRoot=false")
    if _context(pod["spec"]).get("runAsNonRoot"):
        return None
    names = _named(pod, lambda container: "runAsNonRoot" not in _context(container))
    return Violation(reason, f"pod or {_some('container', names)} must set securityContext.runAsNonRoot=true") if names else None


def _root_user(pod: JSON, minor: int) -> Violation | None:
    setters = _setters(pod, lambda context: context.get("runAsUser") == 0)
    return Violation("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def _restricted_seccomp(pod: JSON, minor: int) -> Violation | None:
    if found := _seccomp(pod, minor):
        return found
    if "seccompProfile" in _context(pod["spec"]):
        return None
    names = _named(pod, lambda container: "seccompProfile" not in _context(container))
    return Violation("seccompProfile", f"pod or {_some('container', names)} {_SECCOMP_WORDS}") if names else None


_CAPABILITY_RULE, _HOST_PATH_RULE, _SECCOMP_RULE = _Rule(0, _capabilities), _Rule(0, _host_paths), _Rule(19, _seccomp)
_PROC_RULE = _Rule(0, _relaxed(_unmasked))
_BASELINE = (
    _Rule(0, _app_armor), _CAPABILITY_RULE, _Rule(0, _host_namespaces), _HOST_PATH_RULE, _Rule(0, _host_ports), _Rule(34, _probe_hosts),
    _Rule(0, _privileged), _PROC_RULE, _Rule(0, _selinux), _SECCOMP_RULE, _Rule(0, _sysctls),
)  # fmt: skip
_OVERRIDDEN = (_CAPABILITY_RULE, _HOST_PATH_RULE, _SECCOMP_RULE, _PROC_RULE)
_RESTRICTED = (
    *(rule for rule in _BASELINE if rule not in _OVERRIDDEN),
    _Rule(8, _escalation), _Rule(22, _restricted_capabilities), _Rule(0, _unmasked), _Rule(0, _restricted_volumes),
    _Rule(0, _relaxed(_root)), _Rule(23, _relaxed(_root_user)), _Rule(19, _restricted_seccomp),
)  # fmt: skip
