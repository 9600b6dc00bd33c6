"""HTTP and upgraded connections through the API to what listens in a Pod: pods/proxy, services/proxy, nodes/proxy, kubectl proxy."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.pods import node_name
from tests.support.server import Server

pytestmark = pytest.mark.root
BASE = "/api/v1/namespaces/default"
# Answers with the request's head; one that asks for an upgrade gets it, and then its own bytes back.
MIRROR = r"""
cat > /mirror <<'END'
head=""
upgrade=""
while read -r line; do
  line=$(printf %s "$line" | tr -d '\r')
  [ -n "$line" ] || break
  head="$head$line
"
  case "$line" in Upgrade:*) upgrade=yes;; esac
done
if [ "$upgrade" ]; then printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mirror\r\n\r\n'; exec cat; fi
printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s' "${#head}" "$head"
END
exec nc -ll -p 9000 -e sh /mirror
"""


@pytest.fixture(scope="module")
def web(podspace: Server) -> str:
    page = pods.container("page", "sh", "-c", pods.WEB, ports=[{"name": "http", "containerPort": 8080}])
    page["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    mirror = pods.container("mirror", "sh", "-c", MIRROR, readinessProbe={"tcpSocket": {"port": 9000}, "periodSeconds": 1})
    podspace.apply(pods.pod("web", page, mirror))
    ports = [{"name": "web", "port": 80, "targetPort": "http"}, {"name": "other", "port": 81, "targetPort": 9000}]
    head = {"apiVersion": "v1", "kind": "Service"}
    podspace.apply({**head, "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}})
    podspace.apply({**head, "metadata": {"name": "nobody"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}})
    podspace.wait_ready("web")
    return "web"


@contextlib.contextmanager
def proxying(kubectl: Kubectl) -> Iterator[str]:
    """``kubectl proxy`` at a port of its choice."""
    process = kubectl.start("proxy", "--port=0")
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]  # Starting to serve on 127.0.0.1:PORT
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_page_by_name_port_and_scheme(kubectl: Kubectl, web: str) -> None:
    for path in ("pods/web/proxy/", "pods/web:8080/proxy/index.html", "pods/http:web:8080/proxy/"):
        assert kubectl("get", "--raw", f"{BASE}/{path}") == "a page\n"
    for path in ("services/web:web/proxy/", "services/web:80/proxy/", "services/http:web:80/proxy/"):
        assert kubectl("get", "--raw", f"{BASE}/{path}") == "a page\n"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("pods/nope/proxy/", 'pods "nope" not found'),
        ("pods/ftp:web:21/proxy/", 'invalid pod request "ftp:web:21"'),
        ("pods/web:1/proxy/", "error trying to reach service: dial tcp"),
        ("services/nope/proxy/", 'services "nope" not found'),
        ("services/web:82/proxy/", 'no service port 82 found for service "web"'),
        ("services/nobody:80/proxy/", 'no endpoints available for service "nobody"'),
        ("pods/web/proxy/nope", "the server could not find the requested resource"),
    ],
)
def test_what_is_not_there_is_told_as_an_api_server_does(podspace: Server, web: str, path: str, words: str) -> None:
    done = podspace.run("kubectl", "get", "--raw", f"{BASE}/{path}", check=False)
    assert done.returncode == 1
    assert words in done.stderr


def test_what_reaches_the_pod(kubectl: Kubectl, web: str) -> None:
    path = f"{BASE}/pods/web:9000/proxy/a/b?q=1&x=%20"
    with proxying(kubectl) as address:
        request = urllib.request.Request(f"http://{address}{path}", headers={"X-Own": "yes"}, method="GET")
        with urllib.request.urlopen(request, timeout=20) as answer:
            first, *lines = answer.read().decode().splitlines()
    assert first == "GET /a/b?q=1&x=%20 HTTP/1.1"
    seen = dict(line.split(": ", 1) for line in lines)
    assert seen["X-Own"] == "yes"
    assert seen["X-Forwarded-Uri"] == f"{BASE}/pods/web:9000/proxy/a/b"
    assert "Authorization" not in seen


def test_methods_with_a_body_and_a_path_without_its_slash(kubectl: Kubectl, web: str) -> None:
    with proxying(kubectl) as address:
        url = f"http://{address}{BASE}/pods/web:9000/proxy"
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            request = urllib.request.Request(f"{url}/thing", data=b"x" * 1000, method=method)
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.read().decode().startswith(f"{method} /thing HTTP/1.1\n")
        with urllib.request.urlopen(url, timeout=20) as answer:  # 301 to the same with a slash
            assert answer.url.endswith("/proxy/")


def test_an_upgraded_connection_is_joined(kubectl: Kubectl, web: str) -> None:
    with proxying(kubectl) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = f"GET {BASE}/pods/web:9000/proxy/ HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: mirror\r\n\r\n"
            connection.sendall(head.encode())
            stream = connection.makefile("rb")
            assert stream.readline().startswith(b"HTTP/1.1 101 ")
            while stream.readline() != b"\r\n":
                pass
            for word in (b"one\n", b"two\n"):
                connection.sendall(word)
                assert stream.readline() == word


def test_the_node_tells_of_itself_and_of_its_pods(kubectl: Kubectl, podspace: Server, web: str) -> None:
    base = f"/api/v1/nodes/{node_name(podspace)}/proxy"
    assert kubectl("get", "--raw", f"{base}/healthz") == "ok"
    told = json.loads(kubectl("get", "--raw", f"{base}/pods"))
    assert [item["metadata"]["name"] for item in told["items"]] == ["web"]
    summary = json.loads(kubectl("get", "--raw", f"{base}/stats/summary"))
    (pod,) = summary["pods"]
    assert (pod["podRef"]["name"], [one["name"] for one in pod["containers"]]) == ("web", ["page", "mirror"])
    assert all(one["memory"]["workingSetBytes"] > 0 for one in (summary["node"], *pod["containers"]))
    assert summary["node"]["cpu"]["usageNanoCores"] > 0
    assert "could not find the requested resource" in kubectl("get", "--raw", f"{base}/nope", status=1)


def test_curl_like_clients_need_no_kubectl(podspace: Server, web: str) -> None:
    socket_path = podspace.paths.api_socket
    done = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(socket_path), f"http://localhost{BASE}/pods/web:8080/proxy/"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a page\n"
