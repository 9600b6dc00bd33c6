"""The examples of the Kubernetes documentation, sent twice: the second time nothing happens, by PUT and by server-side apply."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace.kube import goyaml, resources
from podspace.kube.json import JSON
from tests.unit.api.serving import Client, serving
from tests.unit.kube import facts

pytestmark = facts.needs
YAML, APPLY = "application/yaml", "application/apply-patch+yaml"


def folders() -> list[Path]:
    """Every folder of examples is one case."""
    return sorted({path.parent for path in facts.EXAMPLES.rglob("*.yaml")}) if facts.present() else []


def documents(folder: Path) -> Iterator[tuple[str, JSON, resources.Resource]]:
    """(text, object, resource) of all that is served here and has a name."""
    for path in sorted(folder.glob("*.yaml")):
        for text in re.split(r"^---.*$", path.read_text(), flags=re.MULTILINE):
            try:
                obj = goyaml.load(text.encode())[0]
            except ValueError:
                continue  # one of them has a tab where none may be
            if isinstance(obj, dict) and isinstance(obj.get("metadata"), dict) and obj["metadata"].get("name"):
                resource = resources.by_kind(obj.get("kind") or "")
                if resource and resource.stored and not resource.hidden and resource.api_version == obj.get("apiVersion"):
                    yield text, obj, resource


async def collection(client: Client, obj: JSON, resource: resources.Resource) -> str:
    """The path to create at, with what has to be there before."""
    prefix = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
    if not resource.namespaced:
        return f"{prefix}/{resource.plural}"
    namespace = obj["metadata"].get("namespace") or "default"
    await client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    account = (obj.get("spec") or {}).get("serviceAccountName") if obj["kind"] == "Pod" else None
    if account:
        await client.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
    return f"{prefix}/namespaces/{namespace}/{resource.plural}"


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(facts.EXAMPLES)))
def test_an_example_that_is_sent_again_changes_nothing(folder: Path) -> None:
    async def scene() -> None:
        async with serving() as client:
            for text, obj, resource in documents(folder):
                path = await collection(client, obj, resource)
                name = obj["metadata"]["name"]
                created = await client.send("POST", path, text, Content_Type=YAML)
                if created.status != 201:
                    continue  # a bad example, or one that another file of the folder has made already
                put = await client.send("PUT", f"{path}/{name}", text, Content_Type=YAML)
                assert (put.status, put.json) == (200, created.json), name
                address = f"{path}/{name}?fieldManager=m&force=true"
                first = await client.send("PATCH", address, text, Content_Type=APPLY)
                if first.status == 200:  # not an unknown field, which a POST forgives
                    again = await client.send("PATCH", address, text, Content_Type=APPLY)
                    assert (again.status, again.json) == (200, first.json), name

    asyncio.run(scene())
