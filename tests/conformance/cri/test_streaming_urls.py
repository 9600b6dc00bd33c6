"""Exec, Attach and PortForward: a URL that works once, over SPDY as critest and crictl use it, and over WebSocket."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request

import aiohttp
import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri, spdy_client

pytestmark = pytest.mark.root
SECONDS = 20


@pytest.fixture(scope="module")
def shell(machine: cri.Machine) -> tuple[str, str]:
    """A sandbox and a busybox in it that echoes lines on port 8080."""
    client = machine.client
    config = cri.sandbox_config("streams", machine.logs)
    sandbox = client.run_sandbox(config)
    wanted = cri.container_config("one", client.pull("busybox:1.28"), config, command=["nc", "-ll", "-p", "8080", "-e", "cat"])
    container = client.run(sandbox, config, wanted)
    client.output(container, "sh", "-c", "until netstat -ltn | grep -q :8080; do :; done")
    return sandbox, container


def exec_url(client: cri.Client, container: str, *argv: str, tty: bool = False, stdin: bool = False) -> str:
    request = pb.ExecRequest(container_id=container, cmd=argv, tty=tty, stdin=stdin, stdout=True, stderr=not tty)
    return str(client.runtime.Exec(request).url)


def test_exec_over_spdy_gives_output_and_exit_code(client: cri.Client, shell: tuple[str, str]) -> None:
    url = exec_url(client, shell[1], "sh", "-c", "cat; echo oops >&2; exit 3", stdin=True)

    async def scene() -> None:
        connection = await spdy_client.Connection.open(url, "v4.channel.k8s.io")
        streams = {name: connection.stream({"streamtype": name}) for name in ("error", "stdin", "stdout", "stderr")}
        connection.send(streams["stdin"], b"hello", fin=True)
        await connection.until(streams["error"], streams["stdout"], streams["stderr"])
        await connection.close()
        assert connection.received[streams["stdout"]] == b"hello"
        assert connection.received[streams["stderr"]] == b"oops\n"
        status = json.loads(connection.received[streams["error"]])
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]

    asyncio.run(asyncio.wait_for(scene(), SECONDS))


def test_exec_over_websocket_gives_output(client: cri.Client, shell: tuple[str, str]) -> None:
    url = exec_url(client, shell[1], "echo", "hello")

    async def scene() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
            messages = [bytes(message.data) async for message in socket]
        assert b"\x01hello\n" in messages
        assert json.loads(next(message for message in messages if message[0] == 3)[1:])["status"] == "Success"

    asyncio.run(asyncio.wait_for(scene(), SECONDS))


def test_attach_ends_with_the_container(client: cri.Client, machine: cri.Machine) -> None:
    config = cri.sandbox_config("attached", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.run(
        sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sh"], stdin=True, stdin_once=True)
    )
    url = client.runtime.Attach(pb.AttachRequest(container_id=container, stdin=True, stdout=True, stderr=True)).url

    async def scene() -> None:
        connection = await spdy_client.Connection.open(url, "v4.channel.k8s.io")
        streams = {name: connection.stream({"streamtype": name}) for name in ("error", "stdin", "stdout", "stderr")}
        connection.send(streams["stdin"], b"echo hello\n", fin=True)
        await connection.until(streams["error"], streams["stdout"])
        await connection.close()
        assert connection.received[streams["stdout"]] == b"hello\n"

    asyncio.run(asyncio.wait_for(scene(), SECONDS))
    client.runtime.StopContainer(pb.StopContainerRequest(container_id=container, timeout=int(SECONDS)))  # returns at once: it has ended
    assert client.status(container).exit_code == 0


def test_port_forward_reaches_into_the_sandbox(client: cri.Client, shell: tuple[str, str]) -> None:
    url = client.runtime.PortForward(pb.PortForwardRequest(pod_sandbox_id=shell[0], port=[8080])).url

    async def scene() -> None:
        connection = await spdy_client.Connection.open(url, "portforward.k8s.io")
        common = {"port": "8080", "requestid": "0"}
        error = connection.stream({"streamtype": "error", **common}, fin=True)
        data = connection.stream({"streamtype": "data", **common})
        connection.send(data, b"ping\n", fin=True)
        await connection.until(error, data)
        await connection.close()
        assert connection.received[error] == b""
        assert connection.received[data] == b"ping\n"

    asyncio.run(asyncio.wait_for(scene(), SECONDS))


def test_port_forward_over_a_plain_websocket_is_to_the_ports_that_were_asked_for(client: cri.Client, shell: tuple[str, str]) -> None:
    url = client.runtime.PortForward(pb.PortForwardRequest(pod_sandbox_id=shell[0], port=[8080])).url

    async def scene() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["v4.channel.k8s.io"]) as socket:
            assert {await socket.receive_bytes(), await socket.receive_bytes()} == {b"\0\x90\x1f", b"\1\x90\x1f"}
            await socket.send_bytes(b"\0ping\n")
            assert await socket.receive_bytes() == b"\0ping\n"

    asyncio.run(asyncio.wait_for(scene(), SECONDS))


def test_a_url_is_good_once(client: cri.Client, shell: tuple[str, str]) -> None:
    url = exec_url(client, shell[1], "true")
    assert url.startswith("http://127.0.0.1:")
    assert status(url) == 400  # no upgrade asked for: it is used up all the same
    assert status(url) == 404


def status(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    with caught.value as answer:
        return answer.code


def test_a_session_that_makes_no_sense_is_refused(client: cri.Client, shell: tuple[str, str]) -> None:
    with pytest.raises(grpc.RpcError, match="tty and stderr cannot both be true"):
        client.runtime.Exec(pb.ExecRequest(container_id=shell[1], cmd=["sh"], tty=True, stderr=True))
    with pytest.raises(grpc.RpcError, match="one of stdin, stdout, or stderr must be set"):
        client.runtime.Exec(pb.ExecRequest(container_id=shell[1], cmd=["sh"]))
