"""A registry of our own on loopback: Debian's docker-registry with the images of ``tools.images`` in it.

``running(folder)`` is a context manager for the demo, the bench and (through ``tests.support.registry``) the tests. The registries.conf
it writes makes the registry stand in for docker.io altogether, so an image that is not in it is "not found", network or no network.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools import image_stand_ins, images

_PROGRAM = "docker-registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A running registry. ``host``: "127.0.0.1:PORT", plain HTTP. ``registries_conf``: for ``podspace serve --registries-conf``."""

    host: str
    registries_conf: Path
    log: Path


@contextlib.contextmanager
def running(folder: Path, *, with_images: bool = True, with_stand_ins: bool = False, htpasswd: str = "") -> Iterator[Mirror]:
    """Run a registry that keeps everything in ``folder``; it is gone when the context ends.

    with_stand_ins: it also has the images that stand in for others', and stands in for their registries too.
    htpasswd: lines "user:bcrypt-hash"; then every request needs basic auth, and images cannot be pushed here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(_config(folder, htpasswd))
    process = subprocess.Popen(
        [_PROGRAM, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        log = folder / "registry.log"
        with log.open("wb", buffering=0) as copy:
            host = _await_address(process.stderr, copy, log)
            drain = threading.Thread(target=_drain, args=(process.stderr, copy), daemon=True)
            drain.start()
            try:
                if with_images:
                    images.push(host, with_stand_ins=with_stand_ins)
                hosts = image_stand_ins.HOSTS if with_stand_ins else image_stand_ins.HOSTS[:1]
                yield Mirror(host=host, registries_conf=_write_conf(folder, host, hosts), log=log)
            finally:
                process.kill()
                drain.join()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def conf_text(host: str, *, prefix: str = "docker.io") -> str:
    """A registries.conf in which ``host`` stands in for ``prefix``."""
    return f'[[registry]]\nprefix = "{prefix}"\nlocation = "{host}"\ninsecure = true\n'


def _write_conf(folder: Path, host: str, prefixes: Sequence[str]) -> Path:
    path = folder / "registries.conf"
    path.write_text("".join(conf_text(host, prefix=prefix) for prefix in prefixes))
    return path


def _config(folder: Path, htpasswd: str) -> str:
    lines = [
        "version: 0.1",
        "log: {level: info, accesslog: {disabled: true}}",
        f"storage: {{filesystem: {{rootdirectory: '{folder / 'storage'}'}}, maintenance: {{uploadpurging: {{enabled: false}}}}}}",
        "http: {addr: '127.0.0.1:0'}",
    ]
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd)
        lines.append(f"auth: {{htpasswd: {{realm: podspace-test, path: '{folder / 'htpasswd'}'}}}}")
    return "\n".join(lines) + "\n"


def _await_address(source: IO[bytes], copy: IO[bytes], log: Path) -> str:
    """It listens on a port the kernel chose and says which: nobody else can take it in between."""
    for line in source:
        copy.write(line)
        if match := re.search(rb"listening on (127\.0\.0\.1:\d+)", line):
            return match[1].decode()
    raise SystemExit(f"{_PROGRAM} did not start:\n{log.read_text()}")


def _drain(source: IO[bytes], copy: IO[bytes]) -> None:
    for line in source:
        copy.write(line)
