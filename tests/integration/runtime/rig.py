"""An engine with real crun and conmon, a busybox image, a network that does nothing, and a check that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podspace import settings
from podspace.linux import cgroups, mounts, procfs
from podspace.network.attachment import Attachment
from podspace.runtime import engine, model, recover
from podspace.wire import streams


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ("sh",)
    env: tuple[str, ...] = ("PATH=/bin:/usr/bin",)
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, kw_only=True)
class Image:
    id: str
    layers: tuple[Path, ...]
    config: ImageConfig = ImageConfig()


class Images:
    def __init__(self, layer: Path) -> None:
        self.known = {"busybox": Image(id="busybox", layers=(layer,))}

    def find(self, reference: str) -> Image | None:
        return self.known.get(reference)


@dataclass
class Network:
    attached: dict[str, int] = field(default_factory=dict)
    recovered: dict[str, int] = field(default_factory=dict)

    async def attach(self, wanted: Attachment) -> tuple[str, ...]:
        self.attached[wanted.sandbox_id] = wanted.pid
        return ("10.99.0.2",)

    def takes_long(self, owner: str) -> bool:
        return False

    async def detach(self, sandbox_id: str) -> None:
        self.attached.pop(sandbox_id, None)

    async def recover(self, live: Sequence[Attachment]) -> None:
        self.recovered = {item.sandbox_id: item.pid for item in live}

    async def problem(self, owner: str) -> str:
        return ""

    async def run(self) -> None:
        pass

    def on_change(self, listener: Callable[[], None]) -> None:
        pass

    def use_pod_cidr(self, text: str) -> None:
        pass


def make_layer(folder: Path) -> Path:
    """A busybox root."""
    layer = folder / "layer"
    for name in ("bin", "etc", "tmp", "root", "proc", "dev", "sys", "usr/bin"):
        (layer / name).mkdir(parents=True)
    (layer / "tmp").chmod(0o1777)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, layer / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if applet != "busybox":
            (layer / "bin" / applet).symlink_to("busybox")
    (layer / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/var/www:/bin/sh\n")
    (layer / "etc/group").write_text("root:x:0:\nweb:x:102:\nextra:x:300:web\n")
    (layer / "etc/where").write_text("image\n")
    return layer


class Rig:
    """One engine and what tests ask of it."""

    def __init__(self, root: Path, *, oci_runtime: str = "", images: Images | None = None) -> None:
        self.settings = settings.Settings(paths=settings.Paths.under(root / "r"), oci_runtime=oci_runtime)
        layer = root / "layer"
        self.images = images or Images(layer if layer.exists() else make_layer(root))
        self.network = Network()
        self.engine = engine.Engine(self.settings, self.images, self.network)

    def sandbox_config(self, name: str = "pod", **kwargs: Any) -> model.SandboxConfig:
        kwargs = {"pid": model.NamespaceMode.POD, "hostname": name, **kwargs}
        return model.SandboxConfig(
            name=name, uid=f"uid-{name}", namespace="default", log_directory=self.settings.paths.log / name, **kwargs
        )

    async def run(self, sandbox_id: str, *command: str, name: str = "c", **kwargs: Any) -> model.ContainerId:
        """Create and start a container with this command line."""
        created = await self.create(sandbox_id, *command, name=name, **kwargs)
        await self.engine.start_container(created)
        while self._is_being_started(created):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return created

    def _is_being_started(self, container_id: str) -> bool:
        """Whether its first process is the OCI runtime's still: that is told to go on, and has then to execute the program."""
        status = self.engine.container(container_id)
        if status.state is not model.ContainerState.RUNNING:
            return False
        words = procfs.cmdline(status.pid)  # none for a moment: the kernel has yet to put them in place
        return not words or container_id in words or words[-1] == "init"

    async def create(self, sandbox_id: str, *command: str, name: str = "c", **kwargs: Any) -> model.ContainerId:
        kwargs = {"pid": model.NamespaceMode.POD, "log_path": f"{name}/0.log", **kwargs}
        config = model.ContainerConfig(name=name, image="busybox", command=command, **kwargs)
        return await self.engine.create_container(sandbox_id, config)

    async def output(self, container_id: str, *argv: str) -> str:
        """What a command prints in the container."""
        result = await self.engine.exec_sync(container_id, argv, timeout_seconds=60)
        assert result.exit_code == 0, result
        return result.stdout.decode()

    async def ended(self, container_id: str) -> model.ContainerStatus:
        """Wait for the container's end."""
        async with asyncio.timeout(60):
            await self.engine.wait_container(container_id)
        return self.engine.container(container_id)

    async def said(self, container_id: str, words: str) -> None:
        """Wait until the container's log holds this."""
        async with asyncio.timeout(30):
            while words not in self.log(container_id):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def log(self, container_id: str) -> str:
        """The payload of the container's log."""
        lines = self.engine.container(container_id).log_path.read_bytes().decode().split("\n")[:-1]
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    async def remove_all(self) -> None:
        for sandbox in self.engine.sandboxes():
            await self.engine.remove_sandbox(sandbox.id)

    def leftovers(self) -> list[str]:
        """Everything of this server that is still there and should not be."""
        run = self.settings.paths.run
        here = cgroups.detect()
        found = [f"mount {target}" for target in mounts.below(run)]
        found += [f"conmon {pid}" for pid in recover.supervisors(run / "exits").values()]
        found += [f"cgroup {path}" for path in here.children(self.settings.cgroup_root)]
        found += [f"process {pid} {_what(pid)}" for pid in here.processes(self.settings.cgroup_root)]
        for folder in (run / "sandboxes", run / "containers", run / "exits", self.settings.paths.snapshots):
            found += [f"file {folder / name}" for name in os.listdir(folder)]
        found += [f"oci state {name}" for name in os.listdir(run / "crun") if not name.startswith(".")]
        found += [f"address of {identifier}" for identifier in self.network.attached]
        return found


def _what(pid: int) -> str:
    with contextlib.suppress(OSError):
        return repr(Path(f"/proc/{pid}/cmdline").read_text())
    return ""


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Recover and run the engine around a test; at the end remove everything and look for leftovers."""
    await rig.engine.recover()
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        service = group.create_task(rig.engine.run(ready))
        await ready.wait()
        before = set(os.listdir("/proc/self/fd"))
        try:
            yield rig
        finally:
            await rig.remove_all()
        service.cancel()
        after = set(os.listdir("/proc/self/fd"))
    left = rig.leftovers()
    cgroups.detect().prune(rig.settings.cgroup_root)
    assert left == [], "\n".join(left)
    assert len(after) <= len(before) + 1, f"descriptors leaked: {after - before}"


def play(root: Path, scene: Callable[[Rig], Awaitable[None]], *, make: Callable[..., Rig] = Rig, **kwargs: Any) -> None:
    """Run one scene with an engine."""

    async def whole() -> None:
        async with running(make(root, **kwargs)) as rig, asyncio.timeout(300):
            await scene(rig)

    asyncio.run(whole())


class Client:
    """``Streams`` for tests: input that is given, output that is kept."""

    def __init__(
        self, data: bytes | None = None, *, tty: bool = False, sizes: tuple[tuple[int, int], ...] = (), hold: bool = False
    ) -> None:
        self.tty = tty
        self.stdin = data is not None or hold
        self.stdout = True
        self.stderr = not tty
        self.disconnected = asyncio.Event()
        self.out = bytearray()
        self.err = bytearray()
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._sizes: asyncio.Queue[streams.TerminalSize] = asyncio.Queue()
        self._grew = asyncio.Event()
        self._closed = False
        for start in range(0, len(data or b""), 65536):
            self.send((data or b"")[start : start + 65536])
        for size in sizes:
            self.resize(*size)
        if not hold:
            self.send(b"")

    def send(self, data: bytes) -> None:
        self._input.put_nowait(data)

    def resize(self, width: int, height: int) -> None:
        self._sizes.put_nowait(streams.TerminalSize(width, height))

    async def read_stdin(self) -> bytes:
        if self._closed:
            return b""
        data = await self._input.get()
        self._closed = not data
        return data

    async def write_stdout(self, data: bytes | memoryview) -> None:
        if self.disconnected.is_set():
            raise ConnectionResetError
        self.out += data
        self._grew.set()

    async def write_stderr(self, data: bytes | memoryview) -> None:
        self.err += data
        self._grew.set()

    async def next_resize(self) -> streams.TerminalSize:
        return await self._sizes.get()

    async def saw(self, wanted: bytes) -> None:
        """Wait until the output holds this."""
        async with asyncio.timeout(30):
            while wanted not in self.out:
                self._grew.clear()
                await self._grew.wait()
