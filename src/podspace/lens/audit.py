"""The audit: the matrix of who can do what to whom, findings, and what came of trying it.

Pure; called by ``service``, and by ``cli`` for manifests where no server is.
Source of the rules: ``audit_rules``; of the findings: ``audit_findings``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from podspace.kube.json import JSON
from podspace.lens import audit_filter, audit_findings, audit_manifest, audit_rules, model
from podspace.oci import capabilities

Tried = Mapping[tuple[str, str], Mapping[str, bool]]


def matrix(parties: Sequence[audit_rules.Party], kernel: audit_rules.Kernel) -> dict[tuple[str, str], audit_rules.Verdicts]:
    """(actor, target) to what it may do. /pause does nothing of itself and is only a target."""
    return {
        (actor.name, target.name): audit_rules.verdicts(actor, target, kernel)
        for actor in parties
        for target in parties
        if actor.name not in (target.name, model.PAUSE)
    }


def of_manifest(
    pod: JSON,
    images: Mapping[str, audit_manifest.ImageFacts],
    kernel: audit_rules.Kernel,
    available: Sequence[str] = capabilities.NAMES,
    filters: audit_filter.Filters | None = None,
) -> JSON:
    """``status`` of a ``PodAudit`` for a Pod that does not run (yet)."""
    computed = matrix(audit_manifest.parties(pod, images, available, filters), kernel)
    return _status(pod, computed, images, {})


def of_running(
    pod: JSON,
    parties: Sequence[audit_rules.Party],
    images: Mapping[str, audit_manifest.ImageFacts],
    kernel: audit_rules.Kernel,
    tried: Tried,
) -> JSON:
    """``status`` of a ``PodAudit`` for what runs now."""
    return _status(pod, matrix(parties, kernel), images, tried)


def _status(pod: JSON, computed: audit_findings.Matrix, images: Mapping[str, audit_manifest.ImageFacts], tried: Tried) -> JSON:
    among = {pair: verdict for pair, verdict in computed.items() if model.PAUSE not in pair}
    unknown = [name for name, facts in images.items() if not facts.known]
    return {
        "matrix": [_row(pair, verdict, tried.get(pair)) for pair, verdict in computed.items()],
        "findings": [finding.as_json() for finding in audit_findings.findings(pod, among, images)],
        **({"unknownImages": unknown} if unknown else {}),
    }


def _row(pair: tuple[str, str], verdict: audit_rules.Verdicts, tried: Mapping[str, bool] | None) -> JSON:
    reasons = verdict.as_dict()
    row: JSON = {
        "actor": pair[0],
        "target": pair[1],
        "computed": {ability: not why for ability, why in reasons.items()},
        "reasons": {ability: why for ability, why in reasons.items() if why},
    }
    if tried is not None:
        row["tried"] = dict(tried)
    return row
