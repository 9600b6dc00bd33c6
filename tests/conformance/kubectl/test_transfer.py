"""Much through kubectl: folders of many files and large ones by cp, many connections and much data by port-forward, over every protocol."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.server import Server

pytestmark = pytest.mark.root
FILES = 10_000
LARGE_BYTES = 48 * 1024 * 1024
CAT_SERVER = "exec nc -ll -p 9000 -e cat"  # returns what it gets, and ends when that does
WEB = "mkdir -p /m/w; cd /m/w; echo a page > index.html; exec httpd -f -p 8080 -h /m/w"


@pytest.fixture(scope="module", autouse=True)
def running(podspace: Server) -> None:
    """Memory stands in for the disk: it is kubectl's way that is tried."""
    mount = [{"name": "m", "mountPath": "/m"}]
    web = pods.container("web", "sh", "-c", WEB, volumeMounts=mount, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1})
    cat = pods.container("cat", "sh", "-c", CAT_SERVER, readinessProbe={"tcpSocket": {"port": 9000}, "periodSeconds": 1})
    podspace.apply(pods.pod("box", web, cat, volumes=[{"name": "m", "emptyDir": {"medium": "Memory"}}]))
    service = {"ports": [{"port": 80, "targetPort": 8080}], "selector": {"app": "box"}}
    podspace.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "box"}, "spec": service})
    podspace.wait_ready("box")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large"
    path.write_bytes(random.Random(5).randbytes(1024) * (LARGE_BYTES // 1024))
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_ten_thousand_small_files_there_and_back(kubectl: Kubectl, tmp_path: Path) -> None:
    there, back = tmp_path / "many", tmp_path / "back"
    files = FILES // 10 if kubectl.is_old else FILES  # the same takes it long, and shows no more
    for folder in range(10):
        (there / str(folder)).mkdir(parents=True)
    for number in range(files):
        (there / str(number % 10) / f"file {number}").write_text(f"{number}\n")
    kubectl("cp", str(there), "box:/m/many", "-c", "web")
    assert int(kubectl("exec", "box", "-c", "web", "--", "sh", "-c", "find /m/many -type f | wc -l")) == files
    kubectl("cp", "box:/m/many", str(back), "-c", "web")
    assert subprocess.run(["diff", "-r", str(there), str(back)], check=False).returncode == 0
    kubectl("exec", "box", "-c", "web", "--", "rm", "-r", "/m/many")


def test_a_large_file_there_and_back(kubectl: Kubectl, large: Path, tmp_path: Path) -> None:
    kubectl("cp", str(large), "box:/m/large", "-c", "web")
    assert kubectl("exec", "box", "-c", "web", "--", "sha256sum", "/m/large").split()[0] == _digest(large)
    kubectl("cp", "box:/m/large", str(tmp_path / "back"), "-c", "web")
    assert _digest(tmp_path / "back") == _digest(large)
    kubectl("exec", "box", "-c", "web", "--", "rm", "/m/large")


@contextlib.contextmanager
def forwarding(kubectl: Kubectl, what: str, *remote: int, spdy: bool = False) -> Iterator[list[int]]:
    """Local ports of kubectl's own choice for these remote ones."""
    environment = {**kubectl.environment, "KUBECTL_PORT_FORWARD_WEBSOCKETS": str(not spdy).lower()}
    argv = [kubectl.program, "port-forward", what, *(f":{port}" for port in remote)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            ports: list[int] = []
            for line in process.stdout:
                if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> \d+", line):
                    ports.append(int(found[1]))
                if len(ports) == len(remote) and "[::1]" in line:
                    break
            assert len(ports) == len(remote), "port-forward ended"
            yield ports
        finally:
            process.kill()


def _get(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(1 << 16), b"")).partition(b"\r\n\r\n")[2]


def _through_cat(port: int, data: bytes) -> bytes:
    """Send, close our half, and read to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize("spdy", [False, True], ids=["its own way", "SPDY"])
def test_several_ports_many_connections_and_a_large_download(kubectl: Kubectl, large: Path, spdy: bool) -> None:
    if spdy and kubectl.is_old:
        pytest.skip("SPDY is its own way")
    kubectl("cp", str(large), "box:/m/w/large", "-c", "web")
    with forwarding(kubectl, "pod/box", 8080, 9000, spdy=spdy) as (web, cat), ThreadPoolExecutor(40) as pool:
        download = pool.submit(_get, web, "large")
        pages = list(pool.map(_get, [web] * 40, ["index.html"] * 40))
        assert set(pages) == {b"a page\n"}
        assert hashlib.sha256(download.result()).hexdigest() == _digest(large)
        words = [f"{number} ".encode() * 10_000 for number in range(8)]
        assert [_through_cat(cat, word) for word in words] == words  # one at a time: more than it can accept at once it resets
    kubectl("exec", "box", "-c", "web", "--", "rm", "/m/w/large")


def test_a_service_leads_to_one_of_its_pods(kubectl: Kubectl) -> None:
    with forwarding(kubectl, "service/box", 80) as (port,):
        assert _get(port, "index.html") == b"a page\n"
