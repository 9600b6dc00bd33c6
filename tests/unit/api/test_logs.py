"""Logs, and what is checked before exec, attach and port-forward."""

from __future__ import annotations

import aiohttp
import pytest

from podspace import errors
from podspace.api.backend import LogOptions
from tests.unit.api.serving import Client, played, pod

PODS = "/api/v1/namespaces/default/pods"
TWO = {"initContainers": [{"name": "i", "image": "x"}], "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}


async def two_pods(client: Client) -> None:
    await client.post(PODS, pod("two", nodeName="n", **TWO))
    await client.post(PODS, pod("un"))


def test_a_log_is_streamed_as_text() -> None:
    async def scene(client: Client) -> None:
        await two_pods(client)
        client.backend.log = (b"one\n", b"two\n")
        answer = await client.get(f"{PODS}/two/log?container=a&follow=true&tailLines=5&sinceTime=2026-01-01T00:00:00Z&timestamps=true")
        assert (answer.status, answer.text, answer.headers["Content-Type"]) == (200, "one\ntwo\n", "text/plain")
        options = LogOptions(follow=True, tail_lines=5, since_time=1767225600.0, timestamps=True)
        assert client.backend.asked == [("two", "a", options)]

    played(scene)


def test_the_only_container_beside_init_containers_need_not_be_named() -> None:
    async def scene(client: Client) -> None:
        await client.post(PODS, pod("p", nodeName="n", **TWO | {"containers": [{"name": "a", "image": "x"}]}))
        assert (await client.get(f"{PODS}/p/log")).status == 200
        assert [container for _, container, _ in client.backend.asked] == ["a"]
        await two_pods(client)
        answer = await client.get(f"{PODS}/two/log")
        assert answer.message == "a container name must be specified for pod two, choose one of: [i a b]"

    played(scene)


def test_a_log_that_cannot_be_had_is_a_status() -> None:
    async def scene(client: Client) -> None:
        await two_pods(client)
        client.backend.log_error = errors.BadRequest('previous terminated container "a" in pod "two" not found')
        answer = await client.get(f"{PODS}/two/log?container=a&previous=true")
        assert (answer.status, answer.message) == (400, 'previous terminated container "a" in pod "two" not found')

    played(scene)


@pytest.mark.parametrize("failure", [OSError("disk"), errors.Internal("no more"), RuntimeError("a mistake of ours")])
def test_a_log_that_breaks_midway_ends_the_connection_and_does_not_look_complete(failure: Exception) -> None:
    async def scene(client: Client) -> None:
        await two_pods(client)
        client.backend.log_breaks = failure
        with pytest.raises(aiohttp.ClientError):
            await client.get(f"{PODS}/two/log?container=a")
        assert (await client.get(f"{PODS}/two")).status == 200

    played(scene)


def test_spdy_is_refused_before_the_upgrade_when_the_container_does_not_run() -> None:
    async def scene(client: Client) -> None:
        await two_pods(client)
        client.backend.refused = 'container not found ("a")'
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
        answer = await client.post(f"{PODS}/two/exec?container=a&command=ls&stdout=true", None, **headers)
        assert (answer.status, answer.text) == (500, 'container not found ("a")')

    played(scene)


def test_an_unscheduled_pod_has_no_log_yet() -> None:
    async def scene(client: Client) -> None:
        await two_pods(client)
        answer = await client.get(f"{PODS}/un/log")
        assert (answer.status, answer.text) == (204, "")

    played(scene)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("two/exec?command=ls&container=a&stdout=true", 400, "Upgrade request required"),
        ("two/exec?command=ls&stdout=true", 400, "a container name must be specified for pod two, choose one of: [i a b]"),
        ("two/attach?container=zz", 400, "container zz is not valid for pod two"),
        ("un/exec?command=ls&stdout=true", 400, "pod un does not have a host assigned"),
        ("nope/exec?command=ls&stdout=true", 404, 'pods "nope" not found'),
        ("two/portforward", 400, "Upgrade request required"),
        ("un/portforward", 400, "pod un does not have a host assigned"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_streams_are_refused_before_the_upgrade(method: str, path: str, status: int, message: str) -> None:
    async def scene(client: Client) -> None:
        await two_pods(client)
        answer = await client.send(method, f"{PODS}/{path}")
        assert (answer.status, answer.message) == (status, message)

    played(scene)
