"""``podspace describe``: one object in full, with what happened to it.

How each kind looks is in ``describe_pod`` and ``describe_other``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from podspace.cli import client, describe_other, describe_pod, failure, flags, kubeconfig, objects
from podspace.cli.describe_text import NONE, Lines
from podspace.kube import duration, times
from podspace.kube.json import JSON

USAGE = """
Show details of objects.

  podspace describe TYPE [NAME|PREFIX...] | TYPE/NAME... | TYPE -l SELECTOR

Examples:
  podspace describe pod nginx
  podspace describe node
"""
FLAGS = (
    flags.Flag("selector", "l", takes="SELECTOR", help="all with these labels"),
    flags.Flag("all-namespaces", "A", help="in all namespaces"),
    flags.Flag("show-events", default="true", help="with events (default true)"),
    flags.Flag("filename", "f", takes="FILE", many=True, help="the objects named in manifests"),
    *flags.COMMON,
)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("describe", USAGE, FLAGS, argv)
    with client.Client(kubeconfig.load(options)) as api:
        return _describe_all(options, api, "" if options.on("all-namespaces") else api.cluster.namespace)


def _describe_all(options: flags.Options, api: client.Client, namespace: str) -> int:
    texts: list[str] = []
    code = 0
    for target in _targets(options):
        try:
            for obj in _objects(options, api, target, namespace):
                texts.append(_describe(api, target, obj, events=options.on("show-events")))
        except failure.ServerFailure as error:
            print(error, file=sys.stderr)
            code = 1
    if not texts and not code:
        print(objects.none_found(_targets(options)[0], namespace), file=sys.stderr)
    sys.stdout.write("\n\n".join(texts))
    return code


def _targets(options: flags.Options) -> list[objects.Target]:
    sources = options.texts("filename")
    if sources:
        from podspace.cli import manifests  # with YAML, which costs 15 ms

        return [objects.of_object(manifest.obj, manifest.source) for manifest in manifests.read(sources)]
    return objects.targets(options.args)


def _objects(options: flags.Options, api: client.Client, target: objects.Target, namespace: str) -> list[JSON]:
    """The object of that name, else all whose names begin with it."""
    if target.name:
        try:
            return [api.get(objects.path(target, namespace))]
        except failure.ServerFailure as error:
            found = [] if error.code != 404 else _list(options, api, target, namespace, target.name)
            if not found:
                raise
            return found
    return _list(options, api, target, namespace, "")


def _list(options: flags.Options, api: client.Client, target: objects.Target, namespace: str, prefix: str) -> list[JSON]:
    pairs = [("labelSelector", options.text("selector"))] if options.text("selector") else []
    answer = api.get(objects.path(objects.Target(resource=target.resource), namespace) + client.query(pairs))
    return [item for item in answer.get("items") or () if item["metadata"]["name"].startswith(prefix)]


def _describe(api: client.Client, target: objects.Target, obj: JSON, *, events: bool) -> str:
    lines = Lines()
    if target.resource.kind == "Pod":
        describe_pod.describe(lines, obj, now=time.time())
    else:
        describe_other.describe(lines, target.resource.kind, obj)
    if events and target.resource.kind in ("Pod", "Node"):
        _add_events(lines, _events(api, target, obj))
    return lines.text()


def _events(api: client.Client, target: objects.Target, obj: JSON) -> list[JSON]:
    metadata = obj["metadata"]
    selector = f"involvedObject.name={metadata['name']},involvedObject.kind={target.resource.kind}"
    if target.resource.namespaced:
        selector += f",involvedObject.uid={metadata['uid']}"
    base = f"/api/v1/namespaces/{client.quote(metadata['namespace'])}/events" if metadata.get("namespace") else "/api/v1/events"
    return list(api.get(base + client.query([("fieldSelector", selector)])).get("items") or ())


def _add_events(lines: Lines, events: Sequence[JSON]) -> None:
    if not events:
        lines.field(0, "Events", NONE)
        return
    now = time.time()
    lines.add(0, "Events:")
    lines.add(1, "Type\tReason\tAge\tFrom\tMessage")
    lines.add(1, "----\t------\t----\t----\t-------")
    for event in sorted(events, key=_last_seen):
        lines.add(1, "\t".join(_event_row(event, now)))


def _event_row(event: JSON, now: float) -> list[str]:
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    return [event.get("type", ""), event.get("reason", ""), _age(event, now), source, (event.get("message") or "").strip()]


def _last_seen(event: JSON) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    )


def _age(event: JSON, now: float) -> str:
    """``17s`` or ``17s (x3 over 67m)``."""
    last = duration.human(now - times.parse(_last_seen(event)))
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{last} (x{count} over {duration.human(now - times.parse(first))})" if count > 1 and first else last
