"""What is in the demo and test images: folders made of Debian's packages, and a few files of ours.

    busybox                      as Docker's: a static busybox, its applets, a handful of files in /etc
    nginx                        as Docker's: workers run as uid 101, logs go to the container's output
    podspace-test/pid1-required  an entrypoint that, like s6-overlay's, refuses to be anything but PID 1
    podspace-test/user           runs as 1000:1000
    (stand-ins)                  see tools/image_stand_ins.py: what manifests from elsewhere name and cannot be had here
    podspace-test/pause          sleeps: containerd, to which the bench compares, takes the first process of its sandboxes from an image

Called by ``tools.images``. Knows folders, neither tar nor registries.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUSYBOX_PACKAGES = ("busybox-static",)
# One name per library and release: apt knows those that exist here. No dependency walk: that ends in perl and systemd.
LIBRARY_PACKAGES = ("libc6", "libcrypt1", "libpcre2-8-0", "libpcre3", "libssl3", "libssl3t64", "zlib1g")
NGINX_PACKAGES = ("nginx", "nginx-light", "nginx-core", "nginx-common")

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUP = """root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""

_NGINX_CONF = """\
user  nginx;
worker_processes  1;

error_log  /var/log/nginx/error.log warn;
pid        /var/run/nginx.pid;


events {
    worker_connections  1024;
}


http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;

    log_format  main  '$remote_addr - $remote_user [$time_local] "$request" '
                      '$status $body_bytes_sent "$http_referer" '
                      '"$http_user_agent" "$http_x_forwarded_for"';

    access_log  /var/log/nginx/access.log  main;

    sendfile        on;
    keepalive_timeout  65;

    include /etc/nginx/conf.d/*.conf;
}
"""
_NGINX_SITE = """server {
    listen       80;
    server_name  localhost;

    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
}
"""
_NGINX_PAGE = """<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body><h1>Welcome to nginx!</h1></body>
</html>
"""

_INIT = """#!/bin/sh
# Behaves as the /init of s6-overlay: it supervises, so it has to be PID 1.
if [ "$$" != 1 ]; then
    echo "s6-overlay-suexec: fatal: can only run as pid 1" >&2
    exit 100
fi
trap 'exit 0' TERM INT
echo "init: running as pid 1"
while :; do
    sleep 3600 &
    wait $!
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image: which staged folders it is made of, lowest first, and how it starts. ``index``: wrap it in an image index."""

    name: str
    tags: Sequence[str]
    layers: Sequence[str]
    config: Mapping[str, Any]
    compression: str = "gzip"
    index: bool = False


RECIPES = (
    Recipe(
        name="docker.io/library/busybox",
        tags=("latest", "1.28", "1.35", "1.36", "1.37", "stable"),
        layers=("busybox",),
        config={"Cmd": ["sh"], "Env": [PATH]},
        index=True,
    ),
    Recipe(
        name="docker.io/library/nginx",
        tags=("latest", "1.14.2", "1.16.1", "1.22", "1.25", "1.26", "1.27", "1.29", "stable"),
        layers=("base", "nginx", "nginx-config"),
        config={
            "Cmd": ["nginx", "-g", "daemon off;"],
            "Env": [PATH, "NGINX_VERSION=1.22.1"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
            "Labels": {"maintainer": "podspace tools.images"},
        },
        index=True,
    ),
    Recipe(
        name="docker.io/podspace-test/pid1-required",
        tags=("latest",),
        layers=("busybox", "init"),
        config={"Entrypoint": ["/init"], "Env": [PATH]},
    ),
    Recipe(
        name="docker.io/podspace-test/user",
        tags=("latest",),
        layers=("busybox", "user"),
        config={"Cmd": ["sleep", "3600"], "Env": [PATH], "User": "1000:1000", "WorkingDir": "/home/user"},
        compression="zstd",
    ),
    Recipe(
        name="docker.io/podspace-test/pause", tags=("latest",), layers=("busybox",), config={"Entrypoint": ["/bin/sleep", "2147483647"]}
    ),
)


_PRINTENV = """#!/bin/sh
# Debian's busybox lacks this applet, Docker's has it.
[ $# = 0 ] && exec env
status=0
for name; do
    env | grep -q "^$name=" || { status=1; continue; }
    env | sed -n "s/^$name=//p"
done
exit $status
"""


def stage_busybox(root: Path, packages: Path) -> None:
    """/bin/busybox and its applets, as Docker's busybox has them. ``packages``: where busybox-static is unpacked."""
    _folders(root, "bin", "dev", "etc", "home", "root", "tmp", "usr/sbin", "var/spool/mail", "var/www")
    _applets(root / "bin", packages)
    _write(root / "bin/printenv", _PRINTENV, mode=0o755)
    _accounts(root, "")


def stage_base(root: Path, packages: Path) -> None:
    """Add to libraries already unpacked in ``root``: a shell and tools from busybox, /usr-merged, and accounts with nginx as 101."""
    _folders(root, "dev", "etc", "home", "root", "run", "tmp", "usr/bin", "usr/sbin", "usr/lib", "var/log", "var/tmp")
    for name in ("bin", "sbin", "lib"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    (root / "var/run").symlink_to("/run")
    (root / "var/tmp").chmod(0o1777)
    _applets(root / "usr/bin", packages)
    _accounts(root, "nginx:x:101:101:nginx user:/nonexistent:/bin/false\n", "nginx:x:101:\n")
    _write(root / "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    for gconv in root.glob("usr/lib/*/gconv"):
        subprocess.run(["rm", "-rf", str(gconv)], check=True)


def stage_nginx_config(root: Path) -> None:
    _folders(root, "etc/nginx/conf.d", "usr/share/nginx/html", "var/lib/nginx", "var/log/nginx")
    _write(root / "etc/nginx/nginx.conf", _NGINX_CONF)
    _write(root / "etc/nginx/conf.d/default.conf", _NGINX_SITE)
    _write(root / "usr/share/nginx/html/index.html", _NGINX_PAGE)
    (root / "var/log/nginx/access.log").symlink_to("/dev/stdout")
    (root / "var/log/nginx/error.log").symlink_to("/dev/stderr")


def stage_init(root: Path) -> None:
    _folders(root)
    _write(root / "init", _INIT, mode=0o755)


def stage_user(root: Path) -> None:
    _folders(root, "home/user")
    subprocess.run(["chown", "1000:1000", str(root / "home/user")], check=True)


def _applets(folder: Path, packages: Path) -> None:
    binary = next(path for path in (packages / "usr/bin/busybox", packages / "bin/busybox") if path.exists())
    target = folder / "busybox"
    target.write_bytes(binary.read_bytes())
    target.chmod(0o755)
    listed = subprocess.run([str(target), "--list"], check=True, capture_output=True, text=True).stdout
    for applet in listed.split():
        if applet != "busybox" and not (folder / applet).exists():
            (folder / applet).symlink_to("busybox")


def _accounts(root: Path, passwd: str, group: str = "") -> None:
    _write(root / "etc/passwd", _PASSWD + passwd)
    _write(root / "etc/group", _GROUP + group)
    _write(root / "etc/shadow", "root:*:::::::\n", mode=0o640)


def _folders(root: Path, *names: str) -> None:
    root.mkdir(mode=0o755, exist_ok=True)
    for name in names:
        folder = root
        for part in name.split("/"):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            folder.chmod({"tmp": 0o1777, "root": 0o700}.get(name, 0o755))


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)
