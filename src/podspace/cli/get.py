"""``podspace get``: lists and objects, as the server's tables or in any output format; ``-w`` goes on with what changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from podspace.cli import client, failure, flags, jsonpath, kubeconfig, objects, output, tabs
from podspace.kube.json import JSON

USAGE = """
Display one or many objects.

  podspace get TYPE[,TYPE...] [NAME...] [-o wide|yaml|json|name|jsonpath=TEMPLATE|custom-columns=SPEC] [-l SELECTOR] [-A] [-w]
  podspace get TYPE/NAME...
  podspace get -f FILE

Examples:
  podspace get pods -o wide
  podspace get pod nginx -o yaml
  podspace get pods -A -w
  podspace get pods -o 'jsonpath={.items[*].status.podIP}'
  podspace get events --sort-by=.metadata.creationTimestamp
"""
FLAGS = (
    flags.Flag("output", "o", takes="FORMAT", help="wide, yaml, json, name, jsonpath=..., custom-columns=..."),
    flags.Flag("selector", "l", takes="SELECTOR", help="label selector"),
    flags.Flag("field-selector", takes="SELECTOR", help="field selector, such as status.phase=Running"),
    flags.Flag("all-namespaces", "A", help="objects of all namespaces"),
    flags.Flag("watch", "w", help="go on with changes after listing"),
    flags.Flag("watch-only", help="only changes"),
    flags.Flag("no-headers", help="without the header line"),
    flags.Flag("show-labels", help="labels as the last column"),
    flags.Flag("label-columns", "L", takes="LABELS", many=True, help="these labels as columns"),
    flags.Flag("sort-by", takes="PATH", help="sort by a JSONPath, such as .metadata.creationTimestamp"),
    flags.Flag("show-managed-fields", help="keep metadata.managedFields"),
    flags.Flag("ignore-not-found", help="an object that is not there is no failure"),
    flags.Flag("show-kind", help="names as kind/name"),
    flags.Flag("filename", "f", takes="FILE", many=True, help="the objects named in manifests"),
    flags.Flag("recursive", "R", help="folders with their subfolders"),
    flags.Flag("chunk-size", takes="N", default="500", help="objects a request"),
    *flags.COMMON,
)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("get", USAGE, FLAGS, argv)
    with client.Client(kubeconfig.load(options)) as api:
        return Get(options, api, "" if options.on("all-namespaces") else api.cluster.namespace).run()


class Get:
    """One ``get``: the request for each target, then the text of the answers."""

    def __init__(self, options: flags.Options, api: client.Client, namespace: str) -> None:
        self._options = options
        self._api = api
        self._namespace = namespace
        self._print = output.printer(
            options.text("output"), show_managed_fields=options.on("show-managed-fields"), no_headers=options.on("no-headers")
        )
        self._widths: list[int] = []
        self._shown: list[int] = []  # of a watch only the first event has column definitions
        self._failures: list[failure.ServerFailure] = []

    def run(self) -> int:
        sources = self._options.texts("filename")
        if sources:
            from podspace.cli import manifests  # with YAML, which costs 15 ms

            read = manifests.read(sources, recursive=self._options.on("recursive"))
            targets = [objects.of_object(manifest.obj, manifest.source) for manifest in read]
        else:
            targets = objects.targets(self._options.args)
        if self._options.on("watch") or self._options.on("watch-only"):
            if len(targets) != 1:
                raise failure.Failure("watch is only supported on individual resources and resource collections - more than 1 was found")
            return self._watch(targets[0])
        return self._show_objects(targets) if self._print else self._show_tables(targets)

    def _show_objects(self, targets: Sequence[objects.Target]) -> int:
        found: list[JSON] = []
        for target in targets:
            answer = self._fetch(target, "application/json")
            found += [] if answer is None else _items(answer, target)
        listed = len(targets) > 1 or not targets[0].name
        if self._options.given("sort-by"):
            found.sort(key=self._sort_key)
        if self._print is not None and (found or listed):
            sys.stdout.write(self._print(found, listed))
        return self._report()

    def _show_tables(self, targets: Sequence[objects.Target]) -> int:
        answers = [(target, self._fetch(target, client.TABLE)) for target in targets]
        tables = [(target, table) for target, table in answers if table is not None and (table.get("rows") or target.name)]
        kinds = {target.resource.qualified for target, table in answers if table is not None}
        if not tables and not self._failures and not any(target.name for target in targets):
            print(objects.none_found(targets[0], self._namespace), file=sys.stderr)
        grouped: dict[str, tuple[objects.Target, JSON]] = {}
        for target, table in tables:
            known = grouped.setdefault(target.resource.qualified, (target, {**table, "rows": []}))
            known[1]["rows"].extend(table["rows"])
        for number, (target, table) in enumerate(grouped.values()):
            if number:
                print()
            self._print_rows(target, table, header=not self._options.on("no-headers"), kind=len(kinds) > 1)
            self._widths = []
        return self._report()

    def _print_rows(self, target: objects.Target, table: JSON, *, header: bool, kind: bool = False) -> None:
        rows = list(table["rows"])
        if self._options.given("sort-by"):
            rows.sort(key=lambda row: self._sort_key(row["object"]))
        shown = self._columns(table["columnDefinitions"]) if table.get("columnDefinitions") else self._shown
        self._shown = shown
        labels = [label for text in self._options.texts("label-columns") for label in text.split(",")]
        spaced = self._options.on("all-namespaces") and target.resource.namespaced
        mark = f"{objects.prefix(target.resource)}/" if kind or self._options.on("show-kind") else ""
        lines = [self._row(row, shown, labels, spaced, mark) for row in rows]
        if header:
            names = [table["columnDefinitions"][number]["name"].upper() for number in shown]
            heads = [*(["NAMESPACE"] if spaced else []), *names, *(label.rpartition("/")[2].upper() for label in labels)]
            lines.insert(0, [*heads, *(["LABELS"] if self._options.on("show-labels") else [])])
        sys.stdout.write("".join(line + "\n" for line in tabs.columns(lines, widths=self._widths)))
        sys.stdout.flush()

    def _columns(self, definitions: Sequence[JSON]) -> list[int]:
        wide = self._options.text("output") == "wide"
        return [number for number, definition in enumerate(definitions) if wide or not definition.get("priority")]

    def _row(self, row: JSON, shown: Sequence[int], labels: Sequence[str], spaced: bool, mark: str) -> list[str]:
        metadata = row["object"]["metadata"]
        own = metadata.get("labels") or {}
        cells = [str(row["cells"][number]) for number in shown]
        cells[0] = mark + cells[0]
        every = ",".join(f"{name}={value}" for name, value in sorted(own.items())) or "<none>"
        head = [metadata.get("namespace", "")] if spaced else []
        return [*head, *cells, *(own.get(label, "") for label in labels), *([every] if self._options.on("show-labels") else [])]

    def _watch(self, target: objects.Target) -> int:
        accept = "application/json" if self._print else client.TABLE
        answer = self._fetch(target, accept)
        if answer is None:
            return self._report()
        first = not self._options.on("no-headers")
        if not self._options.on("watch-only"):
            if self._print:
                for obj in _items(answer, target):
                    sys.stdout.write(self._print([obj], False))
            elif answer["rows"]:
                self._print_rows(target, answer, header=first)
                first = False
        for event in self._events(target, answer["metadata"].get("resourceVersion", ""), accept):
            if self._print:
                sys.stdout.write(self._print([event["object"]], False))
                sys.stdout.flush()
            else:
                self._print_rows(target, event["object"], header=first and bool(event["object"].get("columnDefinitions")))
                first = False
        return 0

    def _events(self, target: objects.Target, revision: str, accept: str) -> Any:
        pairs = [("resourceVersion", revision), ("watch", "true"), *self._selectors()]
        if target.name:
            pairs.append(("fieldSelector", f"metadata.name={target.name}"))
        collection = objects.path(objects.Target(resource=target.resource), self._namespace)
        for line in self._api.stream(collection + client.query(pairs), accept=accept).lines():
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise failure.ServerFailure(event["object"].get("code", 500), event["object"])
            if event["type"] != "BOOKMARK":
                yield event

    def _fetch(self, target: objects.Target, accept: str) -> JSON | None:
        """The object, or all pages of the list as one."""
        pairs = [] if target.name else self._selectors()
        if self._options.given("sort-by") and accept == client.TABLE:
            pairs.append(("includeObject", "Object"))
        elif not target.name and self._options.number("chunk-size"):
            pairs.append(("limit", self._options.text("chunk-size")))
        path = objects.path(target, self._namespace)
        try:
            answer = self._api.get(path + client.query(pairs), accept=accept)
            while token := (answer.get("metadata") or {}).get("continue"):
                page = self._api.get(path + client.query([*pairs, ("continue", token)]), accept=accept)
                for member in ("rows", "items"):
                    if member in page:
                        page[member] = [*answer[member], *page[member]]
                if "columnDefinitions" in page:
                    page["columnDefinitions"] = answer["columnDefinitions"]
                answer = page
        except failure.ServerFailure as error:
            if error.code != 404 or not self._options.on("ignore-not-found"):
                self._failures.append(error)
            return None
        return answer

    def _selectors(self) -> list[tuple[str, str]]:
        wanted = {"labelSelector": self._options.text("selector"), "fieldSelector": self._options.text("field-selector")}
        return [(name, value) for name, value in wanted.items() if value]

    def _sort_key(self, obj: JSON) -> tuple[int, Any]:
        found = jsonpath.compile(jsonpath.relaxed(self._options.text("sort-by"))).find(obj)
        value = found[0] if found else None
        if isinstance(value, int | float):
            return 1, value
        return (0, 0) if value is None else (2, str(value))

    def _report(self) -> int:
        sys.stdout.flush()
        for error in self._failures:
            print(error, file=sys.stderr)
        return 1 if self._failures else 0


def _items(answer: JSON, target: objects.Target) -> list[JSON]:
    if target.name:
        return [answer]
    return [output.with_type(item, target.resource) for item in answer.get("items") or ()]
