"""Findings of the audit as SARIF 2.1.0, which code hosts show beside the lines of a pull request. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from podspace.kube.json import JSON

_LEVELS = {"high": "error", "medium": "warning", "low": "note"}


def document(findings: Sequence[tuple[str, JSON]]) -> JSON:
    """Of (file or Pod, finding) pairs."""
    rules = sorted({finding["rule"] for _, finding in findings})
    driver = {
        "name": "podspace audit",
        "informationUri": "https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/",
    }
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver | {"rules": [{"id": rule} for rule in rules]}},
                "results": [_result(source, finding) for source, finding in findings],
            }
        ],
    }


def _result(source: str, finding: JSON) -> JSON:
    location = {
        "physicalLocation": {"artifactLocation": {"uri": source}},
        "logicalLocations": [{"fullyQualifiedName": finding["field"], "kind": "member"}],
    }
    return {
        "ruleId": finding["rule"],
        "level": _LEVELS[finding["severity"]],
        "message": {"text": f"{finding['field']}: {finding['message']}"},
        "locations": [location],
    }
