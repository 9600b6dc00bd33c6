"""A small HTTP/1.1 client for one API server: the local socket when it may be used, else TLS.

Called by every command that talks to a server. One connection is kept and used again; ``stream`` and ``upgrade`` take one of their own.
Written by hand because http.client costs 25 ms to import and ssl 15 ms, which is most of what ``podspace exec`` may take.
Source: RFC 9112.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys

from podspace.cli import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from podspace.cli import kubeconfig
    from podspace.kube.json import JSON

RECEIVE_BYTES = 1 << 16
UNIX_PATH_MAX = 107
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str) -> str:
    """Percent-encode one path segment or query value (urllib.parse costs 7 ms)."""
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def query(pairs: list[tuple[str, str]]) -> str:
    """``?a=1&b=2``, "" for no pairs."""
    return "?" + "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs) if pairs else ""


class Response:
    """Status, headers and the connection's bytes. ``headers`` has lower-case names; of a repeated one the last."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], warnings: list[str]) -> None:
        self.status = status
        self.headers = headers
        self.warnings = warnings
        self.connection = connection
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._left = int(length) if length is not None else None
        self.bodyless = status in (101, 204, 304)

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises: failure.Failure when the connection ends before the body does."""
        if self.bodyless:
            return
        if self._chunked:
            yield from self._read_chunked()
        elif self._left is not None:
            yield from self.connection.read_exactly(self._left)
        else:
            self.connection.reusable = False
            yield from iter(self.connection.receive, b"")

    def body(self) -> bytes:
        return b"".join(self.chunks())

    def lines(self) -> Iterator[bytes]:
        """The body by lines, without the newline."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def _read_chunked(self) -> Iterator[bytes]:
        while size := int(self.connection.read_line().split(b";")[0], 16):
            yield from self.connection.read_exactly(size)
            self.connection.read_line()
        while self.connection.read_line():
            pass


class Connection:
    """One socket with what was received and not yet asked for."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self.sock = sock
        self.host = host
        self.buffer = b""
        self.reusable = True

    def send_request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", *(f"{name}: {value}" for name, value in headers.items())]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    def read_response(self) -> Response:
        """Raises: failure.Failure, ConnectionError if the server had hung up before."""
        status_line = self.read_line()
        parts = status_line.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise failure.Failure(f"the server at {self.host} does not speak HTTP: {status_line[:80]!r}")
        headers: dict[str, str] = {}
        warnings: list[str] = []
        while line := self.read_line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
            if name.lower() == "warning":
                warnings.append(_warning_text(value.strip()))
        if headers.get("connection", "").lower() == "close":
            self.reusable = False
        return Response(self, int(parts[1]), headers, warnings)

    def receive(self) -> bytes:
        """Some bytes, b"" at the end."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        return self.sock.recv(RECEIVE_BYTES)

    def read_line(self) -> bytes:
        while b"\n" not in self.buffer:
            self.buffer += self._more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def read_exactly(self, count: int) -> Iterator[bytes]:
        while count:
            data = self.receive()
            if not data:
                raise ConnectionResetError("unexpected EOF")
            if len(data) > count:
                data, self.buffer = data[:count], data[count:] + self.buffer
            count -= len(data)
            yield data

    def _more(self) -> bytes:
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("unexpected EOF")
        return data


class Client:
    """Requests to the API server of one kubeconfig context."""

    def __init__(self, cluster: kubeconfig.Cluster) -> None:
        self.cluster = cluster
        self._idle: Connection | None = None
        self._opened: list[Connection] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._opened:
            connection.sock.close()

    def get(self, path: str, *, accept: str = "application/json") -> JSON:
        return self.request("GET", path, accept=accept)

    def request(self, method: str, path: str, body: JSON | list[JSON] | None = None, *, content_type: str = "", accept: str = "") -> JSON:
        """Send JSON, return JSON. Raises: failure.ServerFailure with the server's Status."""
        data = json.dumps(body, separators=(",", ":")).encode() if body is not None else b""
        response = self._exchange(method, path, data, content_type or "application/json", accept or "application/json")
        text = response.body()
        self._give_back(response.connection)
        _show_warnings(response.warnings)
        if response.status >= 400:
            raise server_failure(response.status, text)
        try:
            parsed: JSON = json.loads(text) if text else {}
        except ValueError:
            raise failure.Failure(f"the server answered {method} {path} with something that is not JSON: {text[:80]!r}") from None
        return parsed

    def stream(self, path: str, *, accept: str = "application/json") -> Response:
        """A GET whose body is read as it comes, on a connection of its own.  Raises: failure.ServerFailure."""
        connection = self.connect()
        connection.send_request("GET", path, self._headers("", accept), b"")
        response = connection.read_response()
        _show_warnings(response.warnings)
        if response.status >= 400:
            raise server_failure(response.status, response.body())
        return response

    def upgrade(self, path: str, headers: Mapping[str, str]) -> Response:
        """A GET that asks to leave HTTP. Raises: failure.ServerFailure unless the answer is 101."""
        connection = self._take()
        connection.send_request("GET", path, {**self._headers("", "*/*"), **headers}, b"")
        response = connection.read_response()
        if response.status != 101:
            raise server_failure(response.status, response.body())
        return response

    def connect(self) -> Connection:
        """Open a connection. Raises: failure.Failure in kubectl's words when nobody listens."""
        sock = _connect_unix(self.cluster.socket) if self.cluster.socket else None
        connection = Connection(sock, "podspace") if sock is not None else _connect_tcp(self.cluster)
        self._opened.append(connection)
        return connection

    def _exchange(self, method: str, path: str, data: bytes, content_type: str, accept: str) -> Response:
        """A kept connection may have been closed by the server meanwhile: then nothing was processed, and a new one is tried once."""
        kept = self._idle is not None
        connection = self._take()
        try:
            connection.send_request(method, path, self._headers(content_type if data else "", accept), data)
            return connection.read_response()
        except (ConnectionResetError, BrokenPipeError):
            connection.sock.close()
            if not kept:
                raise
        return self._exchange(method, path, data, content_type, accept)

    def _headers(self, content_type: str, accept: str) -> dict[str, str]:
        headers = {"User-Agent": "podspace", "Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        if self.cluster.token:
            headers["Authorization"] = f"Bearer {self.cluster.token}"
        return headers

    def _take(self) -> Connection:
        connection, self._idle = self._idle, None
        return connection or self.connect()

    def _give_back(self, connection: Connection) -> None:
        if connection.reusable and self._idle is None:
            self._idle = connection
        else:
            connection.sock.close()


def server_failure(code: int, body: bytes) -> failure.ServerFailure:
    """Of a Status, or of whatever else came with an error code."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = body[:400].decode(errors="replace").strip()
        status = {"reason": failure.REASONS.get(code, ""), "message": text or "the server could not find the requested resource"}
    return failure.ServerFailure(code, status)


def _connect_unix(path: str) -> socket.socket | None:
    """None when it cannot be used (not root, another machine's kubeconfig, server gone): TLS is next."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if len(path.encode()) <= UNIX_PATH_MAX:
            sock.connect(path)
        else:  # sockaddr_un is short; a path through the folder's descriptor is not
            folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
            with contextlib.closing(_Descriptor(folder)):
                sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    except OSError:
        sock.close()
        return None
    return sock


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def close(self) -> None:
        os.close(self._number)


def _connect_tcp(cluster: kubeconfig.Cluster) -> Connection:
    scheme, _, rest = cluster.server.partition("://")
    authority = rest.partition("/")[0]
    host, port = _split(authority, 443 if scheme == "https" else 80)
    try:
        sock: socket.socket = socket.create_connection((host, port), timeout=30)
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "https":
            from podspace.cli import tls

            sock = tls.wrap(sock, cluster, host)
    except ConnectionRefusedError:
        message = f"The connection to the server {authority} was refused - did you specify the right host or port?"
        raise failure.Failure(message, prefix="") from None
    except OSError as error:
        raise failure.Failure(f"Unable to connect to the server: {error}", prefix="") from None
    return Connection(sock, authority)


def _split(authority: str, default_port: int) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit():
        return host.strip("[]"), int(port)
    return authority.strip("[]"), default_port


def _warning_text(value: str) -> str:
    """``299 - "text"`` to text."""
    first, last = value.find('"'), value.rfind('"')
    return value[first + 1 : last].replace('\\"', '"') if 0 <= first < last else value


def _show_warnings(warnings: list[str]) -> None:
    for warning in dict.fromkeys(warnings):
        print(f"Warning: {warning}", file=sys.stderr)
