"""Images that manifests from elsewhere name and that cannot be had without their registries: small ones of our own that behave alike.

The manifests of the Kubernetes documentation are the reason: each image does as much as its page needs. All stand on busybox and one
layer of scripts; no behaviour here is anybody's code. One registry stands in for all of theirs (``tools.registry``).
Called by ``tools.images``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.image_recipes import PATH, Recipe

LAYER = "stand-ins"
HOSTS = ("docker.io", "registry.k8s.io", "k8s.gcr.io", "gcr.io")
_HOME = "/stand-ins"
_UNTIL_TOLD = "trap 'exit 0' TERM INT\n"


def _listening(port: str, answer: str) -> str:
    """A port that is open; whoever connects is answered by a program."""
    return f"{_UNTIL_TOLD}nc -ll -p {port} -e {answer} &\nwait\n"


_SCRIPTS: Mapping[str, str] = {
    "pause": f"{_UNTIL_TOLD}while :; do sleep 3600 & wait $!; done\n",
    # serve PORT TEXT...: HTTP that says one thing
    "serve": f'{_UNTIL_TOLD}port=$1; shift; export TEXT="$*"\nnc -ll -p "$port" -e {_HOME}/answer &\nwait\n',
    "answer": 'while read -r line; do [ -n "${line%?}" ] || break; done\n'
    'printf "HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s\\n" $((${#TEXT} + 1)) "$TEXT"\n',
    # hashicorp/http-echo: -text=TEXT, on port 5678
    "http-echo": f'for word; do case "$word" in -text=*) text=${{word#-text=}};; esac; done\nexec {_HOME}/serve 5678 "$text"\n',
    # agnhost liveness: well for ten seconds. Whatever else it is asked for, it waits
    "agnhost": f'[ "$1" = liveness ] || exec {_HOME}/pause\nexport BEGAN=$(cut -d. -f1 /proc/uptime)\n'
    + _listening("8080", f"{_HOME}/liveness"),
    "liveness": "read -r line\nage=$(($(cut -d. -f1 /proc/uptime) - BEGAN))\n"
    'if [ "$age" -gt 10 ]; then status="500 Internal Server Error"; else status="200 OK"; fi\n'
    'printf "HTTP/1.1 %s\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n" "$status"\n',
    "redis": _listening("6379", "echo +PONG"),
    "goproxy": _listening("8080", "true"),
    "socat": f"port=${{1#tcp-listen:}}\n{_listening('${port%%,*}', 'true')}",
    # etcd: grpc.health.v1 in the fewest bytes of HTTP/2: settings; then headers, SERVING and trailers on the first stream
    "etcd": _listening("2379", f"{_HOME}/serving"),
    "serving": r"printf '\000\000\000\004\000\000\000\000\000\000\000\000\004\001\000\000\000\000'"
    + "\nhead -c 64 > /dev/null\nsleep 0.1\n"
    + r"printf '\000\000 \001\004\000\000\000\001\210\000\014content-type\020application/grpc\000\000\007\000\000\000\000\000\001"
    + r"\000\000\000\000\002\010\001\000\000\017\001\005\000\000\000\001\000\013grpc-status\0010'"
    + "\nsleep 1\n",
    # vish/stress -cpus N: busy; polinux/stress --vm-bytes SIZE: so much memory, in the buffer of a dd that nobody reads from
    "cpus": f"{_UNTIL_TOLD}i=0; while [ $i -lt ${{2:-1}} ]; do (while :; do :; done) & i=$((i + 1)); done\nwait\n",
    "httpd": f"{_UNTIL_TOLD}httpd -f -p 80 -h /usr/local/apache2/htdocs &\nwait\n",
}
_COMMANDS: Mapping[str, str] = {
    "bin/bash": 'exec /bin/sh "$@"\n',
    "bin/stress": 'while [ $# -gt 0 ]; do [ "$1" = --vm-bytes ] && size=$2; shift; done\n'
    f'{_UNTIL_TOLD}mkfifo /tmp/unread; sleep 86400 < /tmp/unread &\ndd if=/dev/zero bs="$size" count=1 > /tmp/unread &\nwait $!\n',
    "usr/local/bin/etcd": f"exec {_HOME}/etcd\n",
    "proxy-server": f"exec {_HOME}/pause\n",
}


def _stand_in(name: str, *tags: str, run: Sequence[str] = (), cmd: Sequence[str] = ("sh",)) -> Recipe:
    """``run``: the entrypoint, a script above and what it is given; ``cmd``: what a manifest's ``args`` replace."""
    entrypoint = {"Entrypoint": [f"{_HOME}/{run[0]}", *run[1:]]} if run else {"Cmd": list(cmd)}
    return Recipe(name=name, tags=tags, layers=("busybox", LAYER), config={"Env": [PATH], **entrypoint})


STAND_INS = (
    _stand_in("docker.io/alpine/socat", "1.8.0.3", run=("socat",)),
    _stand_in("docker.io/hashicorp/http-echo", "0.2.3", "1.0", run=("http-echo",)),
    *(_stand_in(f"docker.io/library/{name}", "latest", cmd=("sh",)) for name in ("alpine", "fedora")),
    _stand_in("docker.io/library/debian", "latest", "stable", cmd=("bash",)),
    _stand_in("docker.io/library/httpd", "2.4", run=("httpd",)),
    _stand_in("docker.io/library/redis", "latest", "5", run=("redis",)),
    _stand_in("docker.io/library/ubuntu", "latest", "22.04", "24.04", cmd=("bash",)),
    _stand_in("docker.io/polinux/stress", "latest", cmd=("stress",)),
    _stand_in("docker.io/vish/stress", "latest", run=("cpus",)),
    _stand_in("gcr.io/google-samples/hello-app", "1.0", "2.0", run=("serve", "8080", "Hello, world!")),
    _stand_in("gcr.io/google-samples/node-hello", "1.0", run=("serve", "8080", "Hello Kubernetes!")),
    _stand_in("k8s.gcr.io/pause", "2.0", run=("pause",)),
    _stand_in("registry.k8s.io/busybox", "latest", "1.27.2"),
    _stand_in("registry.k8s.io/e2e-test-images/agnhost", "2.39", "2.40", "2.45", run=("agnhost",)),
    _stand_in("registry.k8s.io/etcd", "3.5.1-0", run=("etcd",)),
    _stand_in("registry.k8s.io/fluentd-gcp", "1.30", run=("pause",)),
    _stand_in("registry.k8s.io/goproxy", "0.1", run=("goproxy",)),
    _stand_in("registry.k8s.io/kas-network-proxy/proxy-server", "v0.0.32", run=("pause",)),
    _stand_in("registry.k8s.io/nginx", "latest", run=("serve", "80", "Welcome to nginx!")),
    _stand_in("registry.k8s.io/pause", "2.0", "3.1", "3.6", "3.8", "3.9", "3.10", run=("pause",)),
)


def stage(root: Path) -> None:
    """The layer of scripts, and the folder that Apache serves."""
    (root / "usr/local/apache2/htdocs").mkdir(parents=True)
    for name, text in {**{f"{_HOME[1:]}/{name}": text for name, text in _SCRIPTS.items()}, **_COMMANDS}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)
