"""``podspace audit``: who can do what to whom in a Pod, of a manifest or of what runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from podspace.cli import client, failure, flags, kubeconfig, lens, look, sarif, tabs
from podspace.kube.json import JSON

USAGE = """
Say for every two containers of a Pod what one can do to the other: see its processes, read arguments, environment and files (through
/proc/<pid>/root), signal it, trace it. Computed from the kernel's rules; for a running Pod also tried, by a probe with the container's own
credentials. Then what is worth changing, and where. Values of secrets are never shown.

  podspace audit POD [-o json|yaml|wide|sarif]
  podspace audit -f FILE [-o ...]              # needs no server; with one, images are looked at too

Exit status: 0; with --fail-on SEVERITY 3 when there is a finding of that severity or a worse one.

Examples:
  podspace audit nginx
  podspace audit nginx -o wide                              # with the reason of each no
  podspace audit -f pod.yaml --fail-on high -o sarif > audit.sarif
"""
FLAGS = (
    flags.Flag("filename", "f", takes="FILE", many=True, help="manifests (Pods in files, folders or URLs)"),
    flags.Flag("fail-on", takes="SEVERITY", help="high, medium or low: exit with 3 if there is such a finding"),
    flags.Flag("output", "o", takes="FORMAT", help="json, yaml, wide or sarif"),
    *look.FLAGS,
    *flags.COMMON,
)
ABILITIES = ("see", "arguments", "environment", "files", "signal", "trace")
SEVERITIES = ("low", "medium", "high")
FOUND = 3


def run(argv: Sequence[str]) -> int:
    options = flags.parse("audit", USAGE, FLAGS, argv)
    wanted = lens.form(options, ("sarif",))
    limit = options.text("fail-on")
    if limit and limit not in SEVERITIES:
        raise failure.Usage("--fail-on takes high, medium or low", "audit")
    if bool(options.args) == bool(options.texts("filename")) or len(options.args) > 1:
        raise failure.Usage("one Pod, or manifests with -f, must be given", "audit")
    audits = _manifests(options) if options.texts("filename") else [_running(options)]
    sys.stdout.write(rendered(audits, wanted))
    findings = [finding for _, audit in audits for finding in audit["status"]["findings"]]
    worst = max((SEVERITIES.index(finding["severity"]) for finding in findings), default=-1)
    return FOUND if limit and worst >= SEVERITIES.index(limit) else 0


def _running(options: flags.Options) -> tuple[str, JSON]:
    with client.Client(kubeconfig.load(options)) as api:
        return f"pod/{options.args[0]}", look.choose(options, api).audit(options.args[0])


def _manifests(options: flags.Options) -> list[tuple[str, JSON]]:
    from podspace.cli import manifests

    found = []
    for manifest in manifests.read(options.texts("filename"), recursive=True):
        if manifest.obj.get("kind") == "Pod":
            found.append((manifest.source, _reviewed(options, manifest.obj)))
    if not found:
        raise failure.Failure("there is no Pod in these files")
    return found


def _reviewed(options: flags.Options, pod: JSON) -> JSON:
    """By the server, which has the images; without one by ourselves."""
    try:
        with client.Client(kubeconfig.load(options)) as api:
            return look.choose(options, api).review(pod)
    except failure.ServerFailure:
        raise
    except failure.Failure:
        from podspace.cli import local_audit

        return local_audit.review(pod)


def rendered(audits: Sequence[tuple[str, JSON]], form: str) -> str:
    if form == "sarif":
        pairs = [(source, finding) for source, audit in audits for finding in audit["status"]["findings"]]
        return lens.structured(sarif.document(pairs), "json")
    if form in ("json", "yaml"):
        whole = audits[0][1] if len(audits) == 1 else {"kind": "List", "apiVersion": "v1", "items": [audit for _, audit in audits]}
        return lens.structured(whole, form)
    texts = [table(audit["status"], wide=form == "wide") for _, audit in audits]
    if len(audits) == 1:
        return texts[0]
    return "\n".join(f"{lens.show(source)}:\n{text}" for (source, _), text in zip(audits, texts, strict=True))


def table(status: JSON, *, wide: bool) -> str:
    """The matrix, then the findings."""
    lines = tabs.columns([["WHO", "WHOM", *(ability.upper() for ability in ABILITIES)], *(_row(row) for row in status["matrix"])])
    if wide:
        lines += _reasons(status["matrix"])
    if any(row.get("tried") not in (None, row["computed"]) for row in status["matrix"]):
        lines += ["", "! means that trying it came to something else than the kernel's rules as they are known here."]
    if status.get("unknownImages"):
        names = ", ".join(lens.show(name) for name in status["unknownImages"])
        lines += ["", f"The images of {names} are not here: without runAsUser their containers count as root."]
    lines += ["", *(_finding(finding) for finding in status["findings"])] if status["findings"] else ["", "No findings."]
    return "".join(line.rstrip() + "\n" for line in lines)


def _row(row: JSON) -> list[str]:
    tried = row.get("tried")
    cells = []
    for ability in ABILITIES:
        may = row["computed"][ability]
        cells.append(("yes" if may else "no") + ("!" if tried is not None and tried[ability] != may else ""))
    return [lens.show(row["actor"]), lens.show(row["target"]), *cells]


def _reasons(matrix: Sequence[JSON]) -> list[str]:
    lines = [""]
    for row in matrix:
        by_reason: dict[str, list[str]] = {}
        for ability, why in row["reasons"].items():
            by_reason.setdefault(why, []).append(ability)
        lines += [f"{row['actor']} -> {row['target']}: no {', '.join(names)}: {lens.show(why)}" for why, names in by_reason.items()]
    return lines


def _finding(finding: JSON) -> str:
    return f"{finding['severity'].upper():<7} {lens.show(finding['field'])}: {lens.show(finding['message'])}"
