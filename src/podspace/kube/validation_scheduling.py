"""Rules of where a Pod may run: affinity, tolerations, topology spread, gates. Checked although one machine has little to choose.

Called by ``validation_pod``. Source: kubernetes pkg/apis/core/validation.
"""

from __future__ import annotations

from podspace.kube import names
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import labels
from podspace.kube.validation_report import Report

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LISTED = ("In", "NotIn")
_BARE = ("Exists", "DoesNotExist")
_COMPARED = ("Gt", "Lt")


def tolerations(report: Report, given: list[JSON], field: str) -> None:
    for index, toleration in enumerate(given):
        path = f"{field}[{index}]"
        key, operator, effect = (toleration.get(name, "") for name in ("key", "operator", "effect"))
        if key:
            report.invalids(f"{path}.key", key, names.qualified(key))
        elif operator != "Exists":
            report.invalid(
                f"{path}.operator", operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            )
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            report.invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        _toleration_operator(report, operator, toleration.get("value", ""), path)
        if effect and effect not in _EFFECTS:
            report.unsupported(f"{path}.effect", effect, _EFFECTS)


def affinity(report: Report, given: JSON, field: str) -> None:
    if node := given.get("nodeAffinity"):
        _node_affinity(report, node, f"{field}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        if kind in given:
            _pod_affinity(report, given[kind], f"{field}.{kind}")


def spread(report: Report, given: list[JSON], field: str) -> None:
    pairs = [(constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")) for constraint in given]
    for index, constraint in enumerate(given):
        path = f"{field}[{index}]"
        skew, key, when = constraint.get("maxSkew", 0), constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if skew <= 0:
            report.invalid(f"{path}.maxSkew", skew, "must be greater than zero")
        if not key:
            report.required(f"{path}.topologyKey", "can not be empty")
        report.supported(f"{path}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, when) in pairs[index + 1 :]:
            report.duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}")
        _min_domains(report, constraint.get("minDomains"), when, f"{path}.minDomains")
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if name in constraint:
                report.supported(f"{path}.{name}", constraint[name], ("Honor", "Ignore"))
        _label_keys(report, constraint, path)
        if "labelSelector" in constraint:
            label_selector(report, constraint["labelSelector"], f"{path}.labelSelector")


def gates(report: Report, given: list[JSON], field: str) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(given):
        name = gate.get("name", "")
        report.invalids(f"{field}[{index}]", name, names.qualified(name))
        if name in seen:
            report.duplicate(f"{field}[{index}]", name)
        seen.add(name)


def label_selector(report: Report, selector: JSON, field: str) -> None:
    labels(report, selector.get("matchLabels") or {}, f"{field}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        path, operator = f"{field}.matchExpressions[{index}]", requirement.get("operator", "")
        if operator in _LISTED:
            if not requirement.get("values"):
                report.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in _BARE:
            if requirement.get("values"):
                report.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            report.invalid(f"{path}.operator", operator, "not a valid selector operator")
        report.invalids(f"{path}.key", requirement.get("key", ""), names.qualified(requirement.get("key", "")))
        _label_values(report, requirement.get("values") or [], f"{path}.values")


def _label_values(report: Report, values: list[str], field: str) -> None:
    for index, value in enumerate(values):
        report.invalids(f"{field}[{index}]", value, names.label_value(value))


def _min_domains(report: Report, count: int | None, when: str, field: str) -> None:
    if count is None:
        return
    if count <= 0:
        report.invalid(field, count, "must be greater than zero")
    if when != "DoNotSchedule":
        report.invalid(field, count, f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}")


def _label_keys(report: Report, term: JSON, field: str) -> None:
    """matchLabelKeys and mismatchLabelKeys; both become requirements of the selector (``label_keys``)."""
    selector: JSON | None = term.get("labelSelector")
    keys: dict[str, list[str]] = {name: term.get(name) or [] for name in ("matchLabelKeys", "mismatchLabelKeys")}
    for name, listed in keys.items():
        if listed and selector is None:
            report.forbidden(f"{field}.{name}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(listed):
            report.invalids(f"{field}.{name}[{index}]", key, names.qualified(key))
    matched = {key: index for index, key in enumerate(keys["matchLabelKeys"])}
    seen = set((selector or {}).get("matchLabels") or ())
    for requirement in (selector or {}).get("matchExpressions") or ():
        key = requirement.get("key", "")
        if key in matched and key in seen:
            report.invalid(f"{field}[{matched[key]}]", key, "exists in both matchLabelKeys and labelSelector")
        seen.add(key)
    for index, key in enumerate(keys["matchLabelKeys"]):
        if key in keys["mismatchLabelKeys"]:
            report.invalid(f"{field}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")


def _toleration_operator(report: Report, operator: str, value: str, path: str) -> None:
    if operator in ("", "Equal"):
        if problems := names.label_value(value):
            report.invalid(f"{path}.operator", value, ";".join(problems))
    elif operator == "Exists":
        if value:
            report.invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator in _COMPARED:  # known, but behind a feature gate that is off
        report.unsupported(f"{path}.operator", operator, ("Equal", "Exists", "Lt", "Gt"))
    else:
        report.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))


def _node_affinity(report: Report, given: JSON, field: str) -> None:
    required = given.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        node_selector(report, required, f"{field}.requiredDuringSchedulingIgnoredDuringExecution")
    for index, preferred in enumerate(given.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        path = f"{field}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        _weight(report, preferred, path)
        _node_term(report, preferred.get("preference") or {}, f"{path}.preference", check_values=False)


def node_selector(report: Report, selector: JSON, field: str) -> None:
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        report.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        _node_term(report, term, f"{field}.nodeSelectorTerms[{index}]", check_values=True)


def go_term(term: JSON) -> JSON:
    """As Go shows the struct."""
    shown: JSON = {}
    for name, title in (("matchExpressions", "MatchExpressions"), ("matchFields", "MatchFields")):
        given = term.get(name)
        fields = (("Key", "key", ""), ("Operator", "operator", ""), ("Values", "values", None))
        shown[title] = given and [{goes: one.get(key, nothing) for goes, key, nothing in fields} for one in given]
    return shown


def _weight(report: Report, term: JSON, path: str) -> None:
    if not 1 <= term.get("weight", 0) <= 100:
        report.invalid(f"{path}.weight", term.get("weight", 0), "must be in the range 1-100")


def _node_term(report: Report, term: JSON, field: str, *, check_values: bool) -> None:
    """Of a preference, values that no label can have are only warned about."""
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        path, operator, values = f"{field}.matchExpressions[{index}]", requirement.get("operator", ""), requirement.get("values") or []
        if operator in _LISTED:
            if not values:
                report.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in _BARE:
            if values:
                report.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator in _COMPARED:
            if len(values) != 1:
                report.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        else:
            report.invalid(f"{path}.operator", operator, "not a valid selector operator")
        report.invalids(f"{path}.key", requirement.get("key", ""), names.qualified(requirement.get("key", "")))
        if check_values:
            _label_values(report, values, f"{path}.values")
    for index, requirement in enumerate(term.get("matchFields") or ()):
        path, key = f"{field}.matchFields[{index}]", requirement.get("key", "")
        if requirement.get("operator") not in _LISTED:
            report.invalid(f"{path}.operator", requirement.get("operator", ""), "not a valid selector operator")
        elif len(requirement.get("values") or ()) != 1:
            report.required(f"{path}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
        if key != "metadata.name":
            report.invalid(f"{path}.key", key, "not a valid field selector key")
            continue
        for place, value in enumerate(requirement.get("values") or ()):
            report.invalids(f"{path}.values[{place}]", value, names.subdomain(value))


def _pod_affinity(report: Report, given: JSON, field: str) -> None:
    for index, term in enumerate(given.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
        _pod_term(report, term, f"{field}.requiredDuringSchedulingIgnoredDuringExecution[{index}]")
    for index, preferred in enumerate(given.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        path = f"{field}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        _weight(report, preferred, path)
        _pod_term(report, preferred.get("podAffinityTerm") or {}, f"{path}.podAffinityTerm")


def _pod_term(report: Report, term: JSON, field: str) -> None:
    for name in ("labelSelector", "namespaceSelector"):
        if name in term:
            label_selector(report, term[name], f"{field}.{name}")
    for namespace in term.get("namespaces") or ():
        report.invalids(f"{field}.namespace", namespace, names.label(namespace))
    _label_keys(report, term, field)
    key = term.get("topologyKey", "")
    if not key:
        report.required(f"{field}.topologyKey", "can not be empty")
    report.invalids(f"{field}.topologyKey", key, names.qualified(key))
