"""Lists: pages, selectors, forms."""

from __future__ import annotations

import pytest

from tests.unit.api.serving import Client, configmap, played

LIST = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def five(client: Client) -> None:
    for number in range(5):
        await client.post(LIST, configmap(f"c{number}", metadata={"labels": {"i": str(number)}}))


def test_all_pages_show_the_moment_of_the_first() -> None:
    async def scene(client: Client) -> None:
        await five(client)
        first = (await client.get(f"{LIST}?limit=2")).json
        assert first["metadata"]["remainingItemCount"] == 3
        assert all("kind" not in item for item in first["items"])
        await client.post(LIST, configmap("c9"))
        await client.delete(f"{LIST}/c4")
        names, page = [], first
        while True:
            names += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"].get("continue")
            if not token:
                break
            page = (await client.get(f"{LIST}?limit=2&continue={token}")).json
        assert names == ["c0", "c1", "c2", "c3", "c4"]
        assert page["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}

    played(scene)


def test_a_page_of_a_moment_that_is_gone_can_be_had_inconsistently() -> None:
    async def scene(client: Client) -> None:
        await five(client)
        token = (await client.get(f"{LIST}?limit=2")).json["metadata"]["continue"]
        client.server.services.snapshots._kept.clear()
        await client.post(LIST, configmap("c9"))
        page = (await client.get(f"{LIST}?limit=4&continue={token}")).json  # put together again from the history
        assert [item["metadata"]["name"] for item in page["items"]] == ["c2", "c3", "c4"]
        client.server.services.snapshots._kept.clear()
        client.store._history._floor = client.store.revision  # as if it had been long ago
        answer = await client.get(f"{LIST}?limit=2&continue={token}")
        assert (answer.status, answer.json["reason"]) == (410, "Expired")
        rest = (await client.get(f"{LIST}?continue={answer.json['metadata']['continue']}")).json
        assert [item["metadata"]["name"] for item in rest["items"]] == ["c2", "c3", "c4", "c9"]

    played(scene)


def test_selectors_narrow_a_list_and_nobody_counts_the_rest() -> None:
    async def scene(client: Client) -> None:
        await five(client)
        page = (await client.get(f"{LIST}?labelSelector=i%3D3")).json
        assert [item["metadata"]["name"] for item in page["items"]] == ["c3"]
        page = (await client.get(f"{LIST}?fieldSelector=metadata.namespace%3Ddefault&limit=1")).json
        assert "remainingItemCount" not in page["metadata"]

    played(scene)


def test_a_namespace_that_does_not_exist_lists_as_empty() -> None:
    async def scene(client: Client) -> None:
        answer = await client.get("/api/v1/namespaces/nosuch/pods")
        assert (answer.status, answer.json["kind"], answer.json["items"]) == (200, "PodList", [])

    played(scene)


def test_a_table_is_served_when_asked_for() -> None:
    async def scene(client: Client) -> None:
        await five(client)
        answer = await client.get(LIST, Accept=f"{TABLE},application/json")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json["kind"] == "Table"
        assert [row["cells"][0] for row in answer.json["rows"]] == ["c0", "c1", "c2", "c3", "c4"]
        bad = await client.get(f"{LIST}?includeObject=Foo", Accept=TABLE)
        assert bad.status == 400

    played(scene)


def test_metadata_only_is_served_when_asked_for() -> None:
    async def scene(client: Client) -> None:
        await five(client)
        answer = await client.get(LIST, Accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
        assert answer.json["kind"] == "PartialObjectMetadataList"
        assert set(answer.json["items"][0]) == {"kind", "apiVersion", "metadata"}

    played(scene)


def test_big_answers_are_compressed_for_who_takes_it() -> None:
    async def scene(client: Client) -> None:
        await client.post(LIST, configmap("big", data={"x": "y" * 200_000}))
        big = await client.get(f"{LIST}/big", Accept_Encoding="gzip")
        assert big.headers["Content-Encoding"] == "gzip"
        small = await client.get("/api/v1/namespaces/default", Accept_Encoding="gzip")
        assert "Content-Encoding" not in small.headers

    played(scene)


@pytest.mark.parametrize("parameter", ["limit", "resourceVersion", "watch=1&resourceVersion"])
def test_a_number_of_thousands_of_digits_is_the_clients_mistake(parameter: str) -> None:
    async def scene(client: Client) -> None:
        answer = await client.send("GET", f"/api/v1/pods?{parameter}={'9' * 5000}")
        assert answer.status in (400, 500)
        assert "9999" in answer.text

    played(scene)


def test_a_url_carries_as_much_as_a_long_command() -> None:
    async def scene(client: Client) -> None:
        answer = await client.send("GET", f"/api/v1/pods?labelSelector=a%20in%20({','.join(['b'] * 30_000)})")
        assert answer.status == 200

    played(scene)


def test_exactly_one_moment_of_the_past_can_be_asked_for() -> None:
    async def scene(client: Client) -> None:
        await five(client)
        then = (await client.get(LIST)).json["metadata"]["resourceVersion"]
        await client.delete(f"{LIST}/c0")
        exact = (await client.get(f"{LIST}?resourceVersion={then}&resourceVersionMatch=Exact")).json
        assert len(exact["items"]) == 5
        assert exact["metadata"]["resourceVersion"] == then
        newer = (await client.get(f"{LIST}?resourceVersion={then}&resourceVersionMatch=NotOlderThan")).json
        assert len(newer["items"]) == 4
        client.store._history._floor = client.store.revision
        late = await client.get(f"{LIST}?resourceVersion={then}&resourceVersionMatch=Exact")
        assert (late.status, late.message) == (410, "The resourceVersion for the provided list is too old.")

    played(scene)


@pytest.mark.parametrize(
    ("timeout", "why"),
    [
        ("invalid", 'invalid duration "invalid"'),
        ("-", 'invalid duration "-"'),
        ("5", 'missing unit in duration "5"'),
        ("1s2", 'missing unit in duration "1s2"'),
        ("5x", 'unknown unit "x" in duration "5x"'),
    ],
)
def test_a_timeout_that_is_no_duration_is_refused(timeout: str, why: str) -> None:
    async def scene(client: Client) -> None:
        answer = await client.get(f"/api/v1/namespaces?timeout={timeout}")
        assert (answer.status, answer.message) == (400, f"invalid timeout specified in the request URL - time: {why}")
        for good in ("32s", "0", "1h2m0.5s", ""):
            assert (await client.get(f"/api/v1/namespaces?timeout={good}")).status == 200

    played(scene)
