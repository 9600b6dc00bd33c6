"""Requests a real API server (1.36) refuses, corrects or just takes, and its answers: ours must be the same word for word.

One line of ``invalid.jsonl`` is one case: the steps, and what the last of them was answered.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from podspace.kube.json import JSON
from tests.unit.api.serving import Answer, Client, serving
from tests.unit.api.test_recorded_exchanges import masked, nobodys, unowned

LINES = (Path(__file__).parents[2] / "data" / "api" / "invalid.jsonl").read_text().splitlines()
CASES: dict[str, JSON] = {case["case"]: case for case in map(json.loads, LINES)}
_OURS_ALONE = ("uid", "resourceVersion", "creationTimestamp", "generateName")

DIFFERENT: dict[str, str] = {
    "118-serviceaccountname-bad": "the recorded server looked up no ServiceAccounts",
}
"""Case: why its answer is not compared."""


@pytest.mark.parametrize("name", sorted(CASES.keys() - DIFFERENT.keys()))
def test_the_answer_is_that_of_a_real_server(name: str) -> None:
    case = CASES[name]

    async def scene() -> None:
        async with serving() as client:
            answer, created = None, None
            for step in case["steps"]:
                answer = await send(client, step, created)
                created = answer.json if answer.text.startswith("{") else None
            assert answer is not None
            compare(answer, case)

    asyncio.run(scene())


async def send(client: Client, step: JSON, created: JSON | None) -> Answer:
    body: Any = step.get("raw", step.get("body"))
    if created and isinstance(body, dict) and step["method"] == "PUT" and body.get("metadata", {}).get("uid"):
        # the recorded body is what the first step answered, with one change
        ours = {key: created["metadata"][key] for key in ("uid", "resourceVersion", "creationTimestamp") if key in created["metadata"]}
        body = {**body, "metadata": {**body["metadata"], **ours}}
    headers = {"Content_Type": step["type"]} if step["type"] else {}
    return await client.send(step["method"], step["path"], json.dumps(body) if not isinstance(body, str) else body, **headers)


def compare(answer: Answer, case: JSON) -> None:
    assert answer.status == case["status"], answer.text
    assert set(case.get("warnings", ())) <= set(answer.warnings)
    expected, ours = nobodys(case["answer"]), nobodys(unowned(answer.json))
    for key in _OURS_ALONE:
        if key not in expected.get("metadata", {}):
            ours.get("metadata", {}).pop(key, None)
    assert without_diff(masked(ours)) == without_diff(masked(expected))


def without_diff(value: Any) -> Any:
    """Some refusals end with a diff of Go structs, which only has to be there."""
    if isinstance(value, dict):
        return {key: without_diff(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_diff(item) for item in value]
    return value.partition("\n@@")[0] if isinstance(value, str) else value
