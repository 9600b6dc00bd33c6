"""Where the parts are wired together, and nowhere else: one process, one event loop, one root TaskGroup.

``run`` is what ``podspace serve`` calls. Starting is always recovering: whatever the last server left is adopted or cleared away before
the API answers. A service that fails ends the server; a Pod that fails is its worker's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from podspace import certificates, errors, tokens
from podspace.aio import process
from podspace.api.server import ApiServer
from podspace.image.service import Images
from podspace.lens.service import PodLens
from podspace.linux import apparmor
from podspace.network.choice import Networks
from podspace.node import admission, log_rotation, network_condition, registration, sysctls
from podspace.node.backoff import Backoff
from podspace.node.claim_controller import ClaimController
from podspace.node.context import NodeContext
from podspace.node.fieldpath import NodeFacts
from podspace.node.image_gc import ImageGarbage
from podspace.node.meter import PodMeter
from podspace.node.recorder import Recorder
from podspace.node.scheduler import Scheduler
from podspace.node.service import NodeAgent
from podspace.node.streams import PodStreams
from podspace.node.taint_eviction import TaintEviction
from podspace.runtime import oci_choice
from podspace.runtime.engine import Engine
from podspace.settings import Paths, Settings
from podspace.store.store import Store

if TYPE_CHECKING:
    from podspace.cri.server import CriServer

log = logging.getLogger(__name__)
STOP_SECONDS = 10.0


def run(settings: Settings, *, cri_alone: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status. Prints ``ready`` on a line of its own once kubectl can be used."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.umask(0o022)  # what containers must read is readable, whatever the caller had; what they must not is made so by name
    make_folders(settings.paths)
    settings = oci_choice.choose(settings)
    process.install_child_watcher()
    failures: list[BaseException] = []
    try:
        asyncio.run(serve_cri(settings) if cri_alone else serve(settings))
    except* (errors.PodspaceError, OSError) as group:
        failures = _leaves(group)
    for error in failures:
        print(f"podspace {'cri' if cri_alone else 'serve'}: {error}", file=sys.stderr)
    return 1 if failures else 0


def make_folders(paths: Paths) -> None:
    """Create the server's folders; keys and the store are root's alone. The root of a user namespace passes ``run``, and lists nothing."""
    for folder, mode in (
        (paths.lib, 0o700),
        (paths.run, 0o711),
        (paths.etc, 0o755),
        (paths.log, 0o755),
        (paths.pods, 0o750),
        (paths.volumes, 0o711),
    ):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    paths.run.chmod(0o711)  # a former version made it closed


def _stop_by_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _tell_tasks)
    return stop


async def serve_cri(settings: Settings) -> None:
    """Serve a kubelet alone: no API, no agent, no Pods of our own; those of a server that had them run on untended."""
    assert settings.cri_socket is not None
    stop = _stop_by_signal()
    ready = {name: asyncio.Event() for name in ("engine", "cri")}
    async with _engine(settings, ["cri"]) as (engine, images), asyncio.TaskGroup() as tasks:
        cri = _cri_server(settings, engine, images)
        assert cri is not None
        services = [tasks.create_task(engine.run(ready["engine"])), tasks.create_task(cri.run(ready["cri"]))]
        for event in ready.values():
            await event.wait()
        print("ready", flush=True)
        await stop.wait()
        for task in services:
            task.cancel()


def _cri_server(settings: Settings, engine: Engine, images: Images) -> CriServer | None:
    """None when nobody asked for one: then gRPC is not even imported."""
    if settings.cri_socket is None:
        return None
    from podspace.cri.server import CriServer

    return CriServer(engine, images, settings, settings.cri_socket)


async def serve(settings: Settings) -> None:
    """Run every service until told to stop by a signal."""
    stop = _stop_by_signal()
    with Store.open(settings.paths.store) as store:
        async with _services(settings, store) as agent:
            print("ready", flush=True)
            await stop.wait()
            if settings.stop_pods:
                await agent.stop_pods()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await agent.finish_removals()


def _tell_tasks() -> None:
    """SIGUSR1: where every task is waiting, on standard error. For the day a Pod does not move and nobody knows why."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)


@contextlib.asynccontextmanager
async def _engine(settings: Settings, doors: Sequence[str]) -> AsyncIterator[tuple[Engine, Images]]:
    """The engine, recovered, on its network; the network is taken down at the end if no sandbox needs it any more.

    ``doors``: whose sandboxes there will be.
    """
    images = Images(settings)
    network = Networks(settings)
    await network.setup(doors)
    engine = Engine(settings, images, network)
    await images.recover()
    await engine.recover()
    try:
        yield engine, images
    finally:
        if not engine.sandboxes():
            await network.teardown()
        network.close()


@contextlib.asynccontextmanager
async def _services(settings: Settings, store: Store) -> AsyncIterator[NodeAgent]:
    """Start everything in order and hand out the agent; leave everything but the Pods stopped."""
    doors = ["node", *(["cri"] if settings.cri_socket else [])]
    async with _engine(settings, doors) as (engine, images), _above(settings, store, engine, images) as agent:
        yield agent


def _api_server(
    settings: Settings, store: Store, engine: Engine, images: Images, pki: certificates.Paths, signer: tokens.Signer, *, node_name: str
) -> ApiServer:
    host, port = certificates.split_listen(settings.listen)
    return ApiServer(
        store,
        PodStreams(engine),
        host=host,
        port=port,
        tls=certificates.server_context(pki),
        ca_certificate=pki.ca.read_text(),
        unix_socket=settings.paths.api_socket,
        meter=PodMeter(engine, node_name=node_name),
        lens=PodLens(engine, images, seccomp_profiles=settings.seccomp_profiles or settings.paths.seccomp),
        tokens=signer,
    )


def _agent(
    settings: Settings, store: Store, engine: Engine, images: Images, recorder: Recorder, facts: NodeFacts, signer: tokens.Signer
) -> NodeAgent:
    context = NodeContext(
        settings=settings,
        store=store,
        engine=engine,
        images=images,
        recorder=recorder,
        facts=facts,
        crashes=Backoff(),
        pulls=Backoff(),
        signer=signer,
        policy=admission.Policy(allowed_sysctls=sysctls.patterns(settings.allowed_unsafe_sysctls), apparmor=apparmor.is_enabled()),
    )
    return NodeAgent(context)


@contextlib.asynccontextmanager
async def _above(settings: Settings, store: Store, engine: Engine, images: Images) -> AsyncIterator[NodeAgent]:
    """What is above the engine: the agent and the front doors."""
    facts = registration.gather_facts(settings)
    kubelet = Recorder(store, component="kubelet", host=facts.name)
    scheduling = Recorder(store, component="default-scheduler")
    tainting = Recorder(store, component="taint-eviction-controller")
    signer = tokens.Signer(settings.paths.certificates)
    binding = Recorder(store, component="persistentvolume-controller")
    claims = ClaimController(store, binding, folder=settings.paths.volumes, node_name=facts.name)
    agent = _agent(settings, store, engine, images, kubelet, facts, signer)
    mapped = not await engine.missing_for_user_namespaces()
    abilities = registration.Abilities(user_namespaces=mapped, huge_pages=engine.counts_huge_pages)
    node = registration.Registration(store, settings, facts, abilities, runtime_version=engine.runtime_name)
    pki = certificates.ensure(settings.paths.certificates, listen=settings.listen, node_ip=next(iter(facts.ips), ""))
    api = _api_server(settings, store, engine, images, pki, signer, node_name=facts.name)
    cri = _cri_server(settings, engine, images)
    ready = {name: asyncio.Event() for name in ("engine", "api", "agent", *(("cri",) if cri else ()))}
    async with asyncio.TaskGroup() as tasks:
        services = [
            tasks.create_task(service)
            for service in (
                engine.run(ready["engine"]),
                api.run(ready["api"]),
                kubelet.run(),
                scheduling.run(),
                tainting.run(),
                binding.run(),
                *((cri.run(ready["cri"]),) if cri else ()),
            )
        ]
        await ready["api"].wait()
        await node.register()
        await claims.furnish()
        services += [
            tasks.create_task(service)
            for service in (
                agent.run(ready["agent"]),
                Scheduler(store, scheduling, claims, node_name=facts.name).run(),
                log_rotation.run(engine, settings.housekeeping),
                ImageGarbage(engine, images, kubelet, settings.housekeeping, folder=settings.paths.images, node_name=facts.name).run(),
                TaintEviction(store, tainting, node_name=facts.name).run(),
                claims.run(),
                node.run(),
                network_condition.follow(store, engine, facts.name),
            )
        ]
        for event in ready.values():
            await event.wait()
        _write_kubeconfig(settings, pki, api)
        yield agent
        for task in services:
            task.cancel()


def _write_kubeconfig(settings: Settings, pki: certificates.Paths, api: ApiServer) -> None:
    assert api.address is not None  # it is ready
    server = certificates.server_url(*api.address)
    certificates.write_kubeconfig(
        settings.kubeconfig or settings.paths.kubeconfig,
        pki,
        server=server,
        socket_path=settings.paths.api_socket,
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions of a group, however deep."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
