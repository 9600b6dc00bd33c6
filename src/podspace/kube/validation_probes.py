"""Rules of probes and lifecycle hooks.

Called by ``validation_containers``. Source: kubernetes pkg/apis/core/validation, validateProbe and validateHandler.
"""

from __future__ import annotations

from podspace.kube import names
from podspace.kube.json import JSON
from podspace.kube.validation_paths import port
from podspace.kube.validation_report import Report

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_NAMES = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG"
_MORE_NAMES = "USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
_REAL_TIME = (*(f"SIGRTMIN+{n}" for n in range(1, 16)), *(f"SIGRTMAX-{n}" for n in range(1, 15)))
STOP_SIGNALS = tuple(sorted((*(f"SIG{name}" for name in f"{_NAMES} {_MORE_NAMES}".split()), *_REAL_TIME)))  # KEP-4960, Linux
_SIGNALS = {"linux": STOP_SIGNALS, "windows": ("SIGKILL", "SIGTERM")}
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def lifecycle(report: Report, hooks: JSON, grace_seconds: int | None, system: str, field: str) -> None:
    """``system``: of ``spec.os``; what it does not know it does not judge."""
    for name in ("postStart", "preStop"):
        if name in hooks:
            _handler(report, hooks[name], grace_seconds, f"{field}.{name}")
    if "stopSignal" in hooks and system in _SIGNALS:
        report.supported(f"{field}.stopSignal", hooks["stopSignal"], _SIGNALS[system])


def probes(report: Report, container: JSON, grace_seconds: int | None, field: str) -> None:
    """All probes a container has."""
    for name in PROBES:
        if name in container:
            _probe(report, container[name], name, grace_seconds, f"{field}.{name}")


def _probe(report: Report, probe: JSON, name: str, grace_seconds: int | None, field: str) -> None:
    _handler(report, probe, grace_seconds, field)
    for count in _COUNTS:
        report.at_least_zero(f"{field}.{count}", probe.get(count))
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        report.invalid(f"{field}.terminationGracePeriodSeconds", own_grace, "must be greater than 0")
    if name == "readinessProbe":
        if own_grace is not None:
            report.invalid(f"{field}.terminationGracePeriodSeconds", own_grace, "must not be set for readinessProbes")
    elif probe.get("successThreshold", 1) != 1:
        report.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(report: Report, handler: JSON, grace_seconds: int | None, field: str) -> None:
    given = [name for name in _HANDLERS if name in handler]
    if not given:
        report.required(field, "must specify a handler type")
        return
    _action(report, given[0], handler[given[0]], grace_seconds, f"{field}.{given[0]}")
    for name in given[1:]:
        report.forbidden(f"{field}.{name}", "may not specify more than 1 handler type")


def _action(report: Report, kind: str, action: JSON, grace_seconds: int | None, field: str) -> None:
    if kind == "exec":
        if not action.get("command"):
            report.required(f"{field}.command")
    elif kind == "httpGet":
        _http_get(report, action, field)
    elif kind == "sleep":
        seconds = action.get("seconds", 0)
        if grace_seconds is not None and not 0 <= seconds <= grace_seconds:
            report.invalid(field, seconds, f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})")
    else:
        port(report, action.get("port", 0), f"{field}.port")


def _http_get(report: Report, action: JSON, field: str) -> None:
    if not action.get("path"):
        report.required(f"{field}.path")
    port(report, action.get("port", 0), f"{field}.port")
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        report.unsupported(f"{field}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        report.invalids(f"{field}.httpHeaders", header.get("name", ""), names.http_header(header.get("name", "")))
