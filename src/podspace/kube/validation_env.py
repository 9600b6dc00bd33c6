"""Rules of a container's environment: ``env`` and ``envFrom``.

Called by ``validation_containers``. Source: kubernetes pkg/apis/core/validation, ValidateEnv and ValidateEnvFrom.
"""

from __future__ import annotations

from podspace.kube import names
from podspace.kube.json import JSON
from podspace.kube.validation_paths import ENV_FIELDS, field_ref, no_backsteps, resource_ref
from podspace.kube.validation_report import Report

_SOURCES = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_ONE_ONLY = "may not have more than one field specified at a time"


def env(report: Report, variables: list[JSON], field: str) -> None:
    for index, variable in enumerate(variables):
        path = f"{field}[{index}]"
        name = variable.get("name", "")
        if not name:
            report.required(f"{path}.name")
        else:
            report.invalids(f"{path}.name", name, names.environment(name))
        if "valueFrom" in variable:
            _value_from(report, variable, f"{path}.valueFrom")


def env_from(report: Report, sources: list[JSON], field: str) -> None:
    for index, source in enumerate(sources):
        path = f"{field}[{index}]"
        if prefix := source.get("prefix"):
            report.invalids(f"{path}.prefix", prefix, names.environment(prefix))
        kinds = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        for kind in kinds:
            _named(report, source[kind], f"{path}.{kind}")
        if not kinds:
            report.invalid(field, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(kinds) > 1:
            report.invalid(field, "", _ONE_ONLY)


def _named(report: Report, reference: JSON, field: str) -> None:
    name = reference.get("name", "")
    if not name:
        report.required(f"{field}.name")
    else:
        report.invalids(f"{field}.name", name, names.subdomain(name))


def _value_from(report: Report, variable: JSON, field: str) -> None:
    source: JSON = variable["valueFrom"]
    if "fieldRef" in source:
        field_ref(report, source["fieldRef"], f"{field}.fieldRef", ENV_FIELDS)
    if "resourceFieldRef" in source:
        resource_ref(report, source["resourceFieldRef"], f"{field}.resourceFieldRef", in_volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            _key_selector(report, source[kind], f"{field}.{kind}")
    if "fileKeyRef" in source:
        _file_selector(report, source["fileKeyRef"], f"{field}.fileKeyRef")
    if not source:
        report.invalid(field, "", _SOURCES)
    elif variable.get("value"):
        report.invalid(field, "", "may not be specified when `value` is not empty")
    elif len(source) > 1:
        report.invalid(field, "", _ONE_ONLY)


def _key_selector(report: Report, selector: JSON, field: str) -> None:
    name, key = selector.get("name", ""), selector.get("key", "")
    report.invalids(f"{field}.name", name, names.subdomain(name))
    if not key:
        report.required(f"{field}.key")
    else:
        report.invalids(f"{field}.key", key, names.config_key(key))


def _file_selector(report: Report, selector: JSON, field: str) -> None:
    rules: dict[str, names.Rule] = {"key": names.environment, "volumeName": names.label}
    for name, rule in rules.items():
        if not selector.get(name):
            report.required(f"{field}.{name}")
        else:
            report.invalids(f"{field}.{name}", selector[name], rule(selector[name]))
    if not selector.get("path"):
        report.required(f"{field}.path")
    else:
        no_backsteps(report, selector["path"], f"{field}.path")
