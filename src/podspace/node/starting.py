"""Making what ``decide`` asks for: a sandbox, and containers in it, the independent ones at the same time.

Called by a Pod's worker only. Every failure of one container becomes that container's waiting reason and an event, in the
kubelet's words; it never stops the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from podspace import certificates, errors
from podspace.aio import together
from podspace.image.model import Image
from podspace.kube import services
from podspace.kube.resources import RUNTIMECLASSES
from podspace.linux import mounts
from podspace.node import (
    api_address,
    configs,
    credentials,
    dns,
    environment,
    etcfiles,
    identity,
    image_volumes,
    messages,
    neighbours,
    network_condition,
    pod_state,
    podstatus_writer,
    support,
    userns,
    volume_files,
    volume_mounts,
    volumes,
)
from podspace.node.context import NodeContext
from podspace.node.decide import NANOS, Observed, Plan
from podspace.node.environment import ConfigError
from podspace.node.hooks import PostStarts
from podspace.node.pod import Container, Pod, Role
from podspace.node.pod_state import PodState, crash_key
from podspace.node.pulls import SYNC_SECONDS, Puller
from podspace.node.status import Problem
from podspace.runtime.model import ContainerConfig, ContainerState, ContainerStatus, DnsConfig, SandboxState
from podspace.settings import Settings

CONFIG_RETRY_SECONDS = 10.0


async def renew_sandbox(context: NodeContext, pod: Pod, state: PodState, observed: Observed) -> bool:
    """Replace a dead sandbox, or make the first one. Return False (with events written) if that failed."""
    if not pod.host_network and (problem := await context.engine.network_problem()):
        context.recorder.warning(pod.raw, "NetworkNotReady", f"network is not ready: {network_condition.in_words(problem)}")
        return False
    if not await _prepare_volumes(context, pod, state):
        return False
    attempt = 0
    if observed.sandbox is not None:
        attempt = observed.sandbox.config.attempt + 1
        if observed.sandbox.state is SandboxState.NOT_READY:
            context.recorder.normal(pod.raw, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        await context.engine.stop_sandbox(observed.sandbox.id)
    paths = context.settings.paths
    volumes.folder(paths.pods, pod.uid).mkdir(parents=True, exist_ok=True)
    configs.log_directory(pod, paths.log).mkdir(parents=True, exist_ok=True)
    try:
        config = configs.sandbox_config(
            pod,
            attempt=attempt,
            log_root=paths.log,
            resolver=_resolver(context, pod),
            cluster_domain=context.settings.cluster_domain,
            pids_limit=context.settings.pod_max_pids,
            runtime_handler=_runtime_handler(context, pod),
            user_namespace=None if pod.host_users else userns.of_pod(paths.pods, pod.uid),
        )
        if await together.first(context.engine.run_sandbox(config), _deletion(state)):
            return False  # undone: a network may take minutes, and nobody waits for it any more
    except (errors.PodspaceError, userns.Exhausted, OSError) as error:
        context.recorder.warning(pod.raw, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        return False
    neighbours.weigh(context.store, context.engine, pod.spec)
    return True


async def _deletion(state: PodState) -> None:
    """Return when the Pod is to go."""
    if state.deletion_seen is None:
        await state.deletion.wait()


def _runtime_handler(context: NodeContext, pod: Pod) -> str:
    """By whom the Pod's class wants it to be run; "" without one. Raises: NotFound when the class is gone."""
    name = pod.spec.get("runtimeClassName")
    if not name:
        return ""
    found = context.lookup(RUNTIMECLASSES.qualified, "", name)
    if found is None:
        raise errors.NotFound(f'failed to get sandbox runtime: runtimeclass.node.k8s.io "{name}" not found')
    return str(found["handler"])


def _resolver(context: NodeContext, pod: Pod) -> DnsConfig:
    settings = context.settings
    cluster = dns.Cluster(servers=settings.cluster_dns, domain=settings.cluster_domain)
    resolver, omitted = dns.config(pod, dns.of_host(pod, settings.resolv_conf), cluster)
    for words in omitted:
        context.recorder.warning(pod.raw, "DNSConfigForming", words)
    return resolver


async def start_all(context: NodeContext, pod: Pod, state: PodState, plan: Plan, puller: Puller, hooks: PostStarts) -> float | None:
    """Start what the plan names; return when to look again, None if only an event can change anything."""
    show_at = _note_back_offs(context, pod, state, plan)
    if state.tokens.is_due(time.monotonic()):
        state.volumes_stale = True
    if state.volumes_stale and not await _prepare_volumes(context, pod, state) and not state.volumes.folders:
        return time.monotonic() + CONFIG_RETRY_SECONDS
    results = await together.every(_start(context, pod, state, container, puller, hooks) for container in plan.start)
    soonest = time.monotonic() + CONFIG_RETRY_SECONDS  # it may just have failed
    renew_at = None if state.tokens.due is None else max(state.tokens.due, soonest)
    return min((at for at in (*results, plan.wake_at, renew_at, show_at) if at is not None), default=None)


async def _prepare_volumes(context: NodeContext, pod: Pod, state: PodState) -> bool:
    """Make the Pod's volumes, or show in them what has changed since. Return False (with an event) if something is missing."""
    state.volumes_stale = False
    if not pod.spec.get("volumes"):
        return True
    ips = pod_state.addresses(context, pod, pod_state.observe(context.engine, pod))
    wanted = volume_files.VolumeContext(
        pods=context.settings.paths.pods, lookup=context.lookup, node=context.facts, pod_ips=ips, token=state.tokens.text
    )
    try:
        state.tokens.renew(pod, context.signer, context.lookup, now=time.time(), clock=time.monotonic())
        state.volumes = await asyncio.to_thread(volumes.prepare, pod, wanted, state.volumes)
    except (ConfigError, OSError) as error:
        context.recorder.warning(pod.raw, "FailedMount", str(error))
        state.volumes_stale = True
        return False
    return True


def _note_back_offs(context: NodeContext, pod: Pod, state: PodState, plan: Plan) -> float | None:
    """Tell of the containers whose crash back-off has just begun; return when the next of them is to be shown as waiting for that.

    A kubelet looks again only after a while, and so a container is seen as what it is, ended or failed to start, before it is seen to wait.
    """
    later = []
    for name in plan.waiting:
        container = pod.find(name)
        current = state.problems.get(name)
        if container is None or (current is not None and current.reason not in ("RunContainerError", "PostStartHookError")):
            continue
        exited_at = state.ended_at(name, pod_state.last_exit(context.engine, pod, name))
        delay = context.crashes.delay_seconds(crash_key(pod.uid, container), exited_at)
        if not delay:
            continue
        if state.backed_off.get(name) != exited_at:
            state.backed_off[name] = exited_at
            words = f"Back-off restarting failed container {name} in pod {pod.full_name}"
            context.recorder.warning(pod.raw, "BackOff", words, field_path=container.field_path)
        show_at = exited_at + min(delay / 2, SYNC_SECONDS)
        if time.monotonic() < show_at:
            later.append(show_at)
            continue
        message = f"back-off {_go_duration(delay)} restarting failed container={name} pod={pod.full_name}"
        state.problems[name] = Problem(reason="CrashLoopBackOff", message=message)
    return min(later, default=None)


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


async def _start(context: NodeContext, pod: Pod, state: PodState, container: Container, puller: Puller, hooks: PostStarts) -> float | None:
    """Bring up one container; return when to try again if it did not come up (None: when its pull ends, or never)."""
    _tell_missing_secrets(context, pod)
    in_volumes = image_volumes.used_by(pod, container)
    verdict = puller.check_all(pod, (container, *in_volumes), credentials.of(pod, context.lookup))
    if verdict.images is None:
        return _waits(state, container, verdict.problem, verdict.retry_at)
    image, *mounted = verdict.images
    images = {volume.volume: found for volume, found in zip(in_volumes, mounted, strict=True)}
    observed = pod_state.observe(context.engine, pod, state)
    if observed.sandbox is None:
        return time.monotonic()
    _advance_back_off(context, pod, state, container, observed.containers.get(container.name))
    try:
        await _remove_unstarted(context, observed.containers.get(container.name))
        before = pod_state.newest_instance(context.engine, pod, container.name)
        config = await _configure(context, pod, state, container, observed, before, image, images)
        created = await context.engine.create_container(observed.sandbox.id, config)
    except ConfigError as error:
        return _failed(context, pod, state, container, "CreateContainerConfigError", str(error))
    except (errors.PodspaceError, OSError) as error:
        return _failed(context, pod, state, container, "CreateContainerError", str(error))
    context.recorder.normal(pod.raw, "Created", "Container created", field_path=container.field_path)
    try:
        await context.engine.start_container(created)
    except (errors.PodspaceError, OSError) as error:
        _failed(context, pod, state, container, "RunContainerError", str(error))
        return time.monotonic()  # the engine recorded its end; decide what follows from that
    state.problems.pop(container.name, None)
    state.retry_at.pop(container.name, None)
    await podstatus_writer.collect_garbage(context, pod, container.name)
    context.recorder.normal(pod.raw, "Started", "Container started", field_path=container.field_path)
    hooks.begin(pod, container, created, pod_state.address(context, pod, observed))
    return time.monotonic() if container.role is Role.SIDECAR else None  # it makes way for what comes next by running, not by ending


async def _remove_unstarted(context: NodeContext, left: ContainerStatus | None) -> None:
    """A former server that ended between creating a container and starting it leaves one that waits for ever."""
    if left is not None and left.state is ContainerState.CREATED:
        await context.engine.remove_container(left.id)


def _tell_missing_secrets(context: NodeContext, pod: Pod) -> None:
    if missing := credentials.missing(pod, context.lookup):
        words = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image may not succeed."
        context.recorder.warning(pod.raw, "FailedToRetrieveImagePullSecret", words)


def _waits(state: PodState, container: Container, problem: Problem | None, retry_at: float | None) -> float | None:
    if problem is None:
        state.problems.pop(container.name, None)
    else:
        state.problems[container.name] = problem
    return retry_at


def _advance_back_off(context: NodeContext, pod: Pod, state: PodState, container: Container, status: ContainerStatus | None) -> None:
    if status is not None and status.state is ContainerState.EXITED:
        context.crashes.advance(crash_key(pod.uid, container), state.ended_at(container.name, status.finished_nanos / NANOS))


def _failed(context: NodeContext, pod: Pod, state: PodState, container: Container, reason: str, message: str) -> float:
    """Note why a container did not start. Config errors are looked at again soon: the missing object may have come."""
    state.problems[container.name] = Problem(reason=reason, message=message)
    context.recorder.warning(pod.raw, "Failed", f"Error: {message}", field_path=container.field_path)
    state.retry_at[container.name] = time.monotonic() + (0.0 if reason == "RunContainerError" else CONFIG_RETRY_SECONDS)
    return state.retry_at[container.name]


def _services(context: NodeContext, pod: Pod) -> dict[str, str]:
    """Variables of the namespace's Services unless the Pod wants none; those of the API server, and where it can be reached the way."""
    api = context.lookup("services", "default", "kubernetes")
    found = services.api_links(api) if api is not None else {}
    if pod.spec.get("enableServiceLinks", True):
        found |= services.variables(context.store.list("services", pod.namespace)[0])
    found.update(api_address.variables(pod, certificates.split_listen(context.settings.listen), next(iter(context.facts.ips), "")))
    return found


async def _configure(
    context: NodeContext,
    pod: Pod,
    state: PodState,
    container: Container,
    observed: Observed,
    before: ContainerStatus | None,
    image: Image,
    images: Mapping[str, Image],
) -> ContainerConfig:
    """Write the few files a container needs, and return its config."""
    ips = pod_state.addresses(context, pod, observed)
    paths = context.settings.paths
    attempt = before.config.attempt + 1 if before is not None else podstatus_writer.known_restarts(pod, container.name)
    identity.check_non_root(pod, container, image.config.user)
    if fields := support.unsupported_in(container.raw, pod.spec):  # an ephemeral container never met the scheduler
        raise ConfigError(support.in_words(fields))
    here = environment.Surroundings(
        lookup=context.lookup, node=context.facts, pod_ips=ips, volumes=state.volumes.folders, services=_services(context, pod)
    )
    env = environment.build(pod, container, here)
    shown = await volume_mounts.sources(paths.pods / pod.uid, container, state.volumes.folders, images, dict(env))
    target = observed.containers.get(container.target)
    if container.target and (target is None or target.state is not ContainerState.RUNNING):
        raise ConfigError(f"target container {container.target!r} is not running: its process namespace cannot be joined")
    files = _files(context.settings, pod, container, attempt, ips)
    ids = observed.sandbox.config.user_namespace if observed.sandbox is not None else None
    return configs.container_config(
        pod,
        container,
        attempt=attempt,
        image=image,
        env=env,
        devices=configs.devices_of(container, state.volumes.devices),
        groups=state.volumes.groups,
        mounts=configs.mounts_of(pod, container, shown, files, user_namespace=ids, recursive_readonly=mounts.knows_recursive_readonly()),
        memory_capacity_bytes=context.facts.memory_bytes,
        seccomp_profiles=context.settings.seccomp_profiles or paths.seccomp,
        target=target.id if target is not None else None,
    )


def _files(settings: Settings, pod: Pod, container: Container, attempt: int, ips: tuple[str, ...]) -> dict[str, Path]:
    """The files podspace puts into the container: destination -> host path."""
    pods = settings.paths.pods
    (configs.log_directory(pod, settings.paths.log) / container.name).mkdir(parents=True, exist_ok=True)
    hosts = pods / pod.uid / "etc-hosts"
    hosts.parent.mkdir(parents=True, exist_ok=True)
    text = etcfiles.hosts(pod, ips, cluster_domain=settings.cluster_domain).encode()
    if not _holds(hosts, text):
        hosts.write_bytes(text)
        hosts.chmod(0o644)
    message = messages.message_file(pods, pod, container.name, attempt)
    message.parent.mkdir(parents=True, exist_ok=True)
    message.touch()
    message.chmod(0o666)  # whoever the container runs as may write it
    return {"/etc/hosts": hosts, container.termination_message_path: message}


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file is exactly that. Containers may write to it: it can be of any size, and no text."""
    try:
        with path.open("rb") as file:
            return file.read(len(content) + 1) == content
    except FileNotFoundError:
        return False
