"""Exec, attach and port-forward requests become ``Streams`` and socket pairs, whatever protocol the client speaks.

Called by the routes of those subresources once the object, the container's name and the caller's rights have been checked. Picks
WebSocket or SPDY from the request's headers and answers the upgrade; ``command`` and ``forward`` do the rest.
It must not know Pods: what to run or where to connect is a function it is given.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import hdrs, web

from podspace import errors
from podspace.streaming.command import Peer, Run, converse
from podspace.streaming.connection import Connect
from podspace.streaming.forward import Forwarder
from podspace.streaming.forward_channels import ChannelForwarder
from podspace.streaming.link import StreamLink, WebSocketLink, take_over
from podspace.streaming.peers import FAREWELL_SECONDS, SpdyPeer, WebSocketPeer
from podspace.wire import portforward, remotecommand
from podspace.wire.protocol import ProtocolError
from podspace.wire.streams import Streams

__all__ = ["Connect", "Run", "serve_port_forward", "serve_remote_command"]

_SPDY = "SPDY/3.1"
_PROTOCOL_HEADER = "X-Stream-Protocol-Version"
_ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


async def serve_remote_command(
    request: web.Request,
    *,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    run: Run,
    doing: str = "error executing command in container",
    refusal: str = "",
) -> web.StreamResponse:
    """Upgrade the connection, call ``run`` with the client's streams, and tell the client how it ended.

    ``run`` returns an exit code, or None where there is none (attach). What it raises (PodspaceError, OSError) reaches the client
    as ``Internal error occurred: <doing>: <message>``, a kubelet's words. When the client goes first, ``disconnected`` is set and
    ``run`` is cancelled. With ``tty`` there is no stderr, asked for or not. With a ``refusal`` nothing is run: a SPDY client is not
    upgraded, a WebSocket client is told after the upgrade, where it would otherwise try SPDY.

    Returns a response that is already sent, or one that says why no protocol fits.
    Raises: BadRequest before anything is sent (no upgrade asked for, no stream asked for); ConnectionResetError.
    """
    websocket = _asks_for_websocket(request)
    if not (stdin or stdout or stderr):
        raise errors.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    stderr = stderr and not tty
    peer: Peer
    if websocket:
        protocol = remotecommand.negotiate(websocket_offers(request), remotecommand.WEBSOCKET_PROTOCOLS)
        if protocol is None:
            return _no_websocket_protocol(request, remotecommand.WEBSOCKET_PROTOCOLS)
        socket = await open_websocket(request, protocol)
        peer = WebSocketPeer(socket, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        await (converse(peer, _refuse(refusal), "unable to upgrade connection") if refusal else converse(peer, run, doing))
        return socket
    if refusal:
        return web.Response(status=500, text=refusal)
    protocol = remotecommand.negotiate(_spdy_offers(request), remotecommand.SPDY_PROTOCOLS)
    if protocol is None:
        return _no_spdy_protocol(request, remotecommand.SPDY_PROTOCOLS)
    response, link = await _open_spdy(request, protocol)
    peer = SpdyPeer(link, protocol, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
    await converse(peer, run, doing)
    return response


def _refuse(reason: str) -> Run:
    async def run(_: Streams) -> None:
        raise errors.FailedPrecondition(reason)

    return run


async def serve_port_forward(
    request: web.Request, *, connect: Connect, ports: Sequence[str] = (), pod: str = "", uid: str = ""
) -> web.StreamResponse:
    """Carry any number of TCP connections over this one; ``connect(port)`` is called for each, and its writer is always closed.

    ``ports`` are those the request names, which only the clients of a plain WebSocket need to do.

    ``pod`` (a kubelet puts ``name_namespace``) and ``uid`` only appear in the message that a failed ``connect`` (PodspaceError,
    OSError) leaves on the error stream. Cancelled: all connections are closed.

    Returns a response that is already sent, or one that says why no protocol fits.
    Raises: BadRequest before anything is sent; ConnectionResetError.
    """

    def describe(port: int, reason: str) -> str:
        return f"error forwarding port {port} to pod {pod}, uid {uid}: {reason}"

    if _asks_for_websocket(request):
        served = (portforward.WEBSOCKET_PROTOCOL, *portforward.WEBSOCKET_CHANNEL_PROTOCOLS)
        protocol = remotecommand.negotiate(websocket_offers(request), served)
        if protocol is None:
            return _no_websocket_protocol(request, served)
        if protocol == portforward.WEBSOCKET_PROTOCOL:
            socket = await open_websocket(request, protocol)
            await Forwarder(WebSocketLink(socket), connect, describe).run()
            return socket
        wanted = _ports(ports)
        socket = await open_websocket(request, protocol, autoping=False)
        await ChannelForwarder(socket, wanted, connect, describe).run()
        return socket
    if remotecommand.negotiate(_spdy_offers(request), (portforward.SPDY_PROTOCOL,)) is None:
        return _no_spdy_protocol(request, (portforward.SPDY_PROTOCOL,))
    response, link = await _open_spdy(request, portforward.SPDY_PROTOCOL)
    await Forwarder(link, connect, describe).run()
    return response


def _ports(texts: Sequence[str]) -> list[int]:
    try:
        return portforward.ports(texts)
    except ProtocolError as error:
        raise errors.BadRequest(str(error)) from error


def _asks_for_websocket(request: web.Request) -> bool:
    """Whether it is a WebSocket (else SPDY) that the client wants.  Raises: BadRequest (neither)."""
    wanted = asks_for(request)
    if wanted not in ("websocket", _SPDY.lower()):
        raise errors.BadRequest("Upgrade request required")
    return wanted == "websocket"


def asks_for(request: web.BaseRequest) -> str:
    """The protocol that the client wants instead of HTTP, in small letters; empty: none."""
    if "upgrade" not in request.headers.get(hdrs.CONNECTION, "").lower():
        return ""
    return request.headers.get(hdrs.UPGRADE, "").strip().lower()


def websocket_offers(request: web.BaseRequest) -> list[str]:
    return _listed(request, hdrs.SEC_WEBSOCKET_PROTOCOL) or [remotecommand.UNNAMED]


def _spdy_offers(request: web.Request) -> list[str]:
    offers = _listed(request, _PROTOCOL_HEADER)
    if not offers:
        raise errors.BadRequest(f"unable to upgrade: {_PROTOCOL_HEADER} is required")
    return offers


def _listed(request: web.BaseRequest, header: str) -> list[str]:
    return [name.strip() for line in request.headers.getall(header, []) for name in line.split(",") if name.strip()]


async def open_websocket(request: web.BaseRequest, protocol: str, *, autoping: bool = True) -> web.WebSocketResponse:
    """Answer 101.  Raises: BadRequest."""
    socket = web.WebSocketResponse(
        protocols=[protocol] if protocol else [],
        compress=False,
        max_msg_size=MAX_MESSAGE_BYTES,
        timeout=FAREWELL_SECONDS,
        autoping=autoping,
    )
    if not socket.can_prepare(request):
        raise errors.BadRequest("WebSocket handshake failed: Sec-WebSocket-Version must be 13 and Sec-WebSocket-Key 16 bytes in base64")
    await socket.prepare(request)
    return socket


async def _open_spdy(request: web.Request, protocol: str) -> tuple[web.StreamResponse, StreamLink]:
    return await take_over(request, {hdrs.CONNECTION: "Upgrade", hdrs.UPGRADE: _SPDY, _PROTOCOL_HEADER: protocol})


def _no_websocket_protocol(request: web.Request, served: Sequence[str]) -> web.Response:
    return web.Response(status=403, text=unserved(request, served))


def unserved(request: web.BaseRequest, served: Sequence[str]) -> str:
    """In the words of apimachinery's wsstream."""
    return f"requested protocol(s) are not supported: [{' '.join(websocket_offers(request))}]; supports [{' '.join(served)}]"


def _no_spdy_protocol(request: web.Request, served: Sequence[str]) -> web.Response:
    """In the words of apimachinery's httpstream.Handshake."""
    offers = " ".join(_spdy_offers(request))
    text = f"unable to upgrade: unable to negotiate protocol: client supports [{offers}], server accepts [{' '.join(served)}]"
    response = web.Response(status=403, text=text)
    for name in served:
        response.headers.add(_ACCEPTED_HEADER, name)
    return response
