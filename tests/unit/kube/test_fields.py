"""The ledger of fields: none without a verdict, none that names a test that is not there, and the page is the generated one."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from podspace.kube import schema
from podspace.kube.fields import table
from podspace.kube.fields.verdict import Kind
from tools import gen_fields, gen_schema

TESTS = Path(__file__).resolve().parents[2]
ENTRIES = [(model, name, verdict) for model, fields in table.TYPES.items() for name, verdict in fields.items()]
LISTED = {
    *("PodSpec", "Container", "EphemeralContainer", "Probe", "Lifecycle", "LifecycleHandler", "Volume", "VolumeMount", "VolumeDevice"),
    *("SecurityContext", "PodSecurityContext", "ResourceRequirements"),
}


def test_every_field_of_every_type_a_pod_can_hold_has_a_verdict() -> None:
    models = gen_schema.table()  # of the installed lightkube-models: a release with a new field fails here
    missing = [f"{model}.{name}" for model in table.reachable() for name in models[model] if name not in table.TYPES.get(model, {})]
    assert missing == []


def test_no_verdict_is_about_a_field_that_does_not_exist() -> None:
    assert [f"{model}.{name}" for model, name, _ in ENTRIES if name not in schema.fields(model)] == []


def test_a_type_stands_in_one_part_and_its_fields_are_sorted() -> None:
    assert len(table.TYPES) == sum(map(len, table.PARTS.values()))
    unsorted = [model for model, fields in table.TYPES.items() if list(fields) != sorted(fields) and model != "EphemeralContainer"]
    assert unsorted == []


def test_every_type_is_judged_or_refused_with_the_field_that_leads_to_it() -> None:
    judged = set(table.reachable()) | {model for model, _ in table.refused_with_their_field()}
    assert judged >= LISTED
    assert set(table.TYPES) <= judged


@functools.cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_honoured_field_names_tests_that_exist() -> None:
    for model, name, verdict in ENTRIES:
        assert bool(verdict.tests) is (verdict.kind is Kind.HONOURED), f"{model}.{name}"
        for test in verdict.tests:
            path, _, function = test.partition("::")
            assert (TESTS / path).is_file(), f"{model}.{name}: there is no tests/{path}"
            assert function in functions(TESTS / path), f"{model}.{name}: there is no {test}"


def test_what_is_not_honoured_says_why() -> None:
    assert [f"{model}.{name}" for model, name, verdict in ENTRIES if verdict.kind is not Kind.HONOURED and not verdict.text] == []
    buts = [verdict.but for _, _, verdict in ENTRIES if verdict.but is not None]
    assert all(but.kind is Kind.REFUSED and but.when is not None and but.text for but in buts)


def test_the_page_is_the_generated_one() -> None:
    assert gen_fields.PAGE.read_text(encoding="utf-8") == gen_fields.render(), "run: make fields"
