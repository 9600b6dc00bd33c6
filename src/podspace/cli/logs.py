"""``podspace logs``: what containers wrote, as it was and with ``-f`` as it comes."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence

from podspace.cli import client, failure, flags, kubeconfig, pods
from podspace.kube.json import JSON

USAGE = """
Print the logs of a container.

  podspace logs [-f] [-p] POD [-c CONTAINER]
  podspace logs [-f] -l SELECTOR [--all-containers] [--prefix]

Examples:
  podspace logs nginx -c nginx
  podspace logs -f --tail=20 --timestamps nginx -c nginx
  podspace logs -p nginx -c nginx         # of the instance before the last restart
  podspace logs -f -l app=web --prefix
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="container (default: the annotated one, or the first)"),
    flags.Flag("follow", "f", help="go on as it is written"),
    flags.Flag("previous", "p", help="of the container's previous instance"),
    flags.Flag("tail", takes="LINES", default="-1", help="only the last lines (default all; with a selector 10)"),
    flags.Flag("since", takes="DURATION", help="only what is younger, such as 5m"),
    flags.Flag("since-time", takes="TIME", help="only what is younger than this RFC3339 time"),
    flags.Flag("timestamps", help="each line with its time"),
    flags.Flag("limit-bytes", takes="N", help="at most so many bytes"),
    flags.Flag("selector", "l", takes="SELECTOR", help="of all Pods with these labels"),
    flags.Flag("all-containers", help="of all containers"),
    flags.Flag("prefix", help="each line with the Pod's and the container's name"),
    flags.Flag("ignore-errors", help="go on when one container's log cannot be had"),
    flags.Flag("max-log-requests", takes="N", default="5", help="how many to follow at once with a selector"),
    *flags.COMMON,
)
SELECTOR_TAIL = 10


def run(argv: Sequence[str]) -> int:
    options = flags.parse("logs", USAGE, FLAGS, argv)
    with client.Client(kubeconfig.load(options)) as api:
        return _logs(options, api)


def _logs(options: flags.Options, api: client.Client) -> int:
    sources = [source for pod in _pods(options, api) for source in _sources(options, pod)]
    if options.on("follow") and len(sources) > options.number("max-log-requests"):
        allowed = options.text("max-log-requests")
        message = f"you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is {allowed}"
        raise failure.Failure(f"{message}, use --max-log-requests to increase the limit")
    code = 0
    following: list[tuple[client.Response, bytes]] = []
    for pod, container in sources:
        prefix = f"[pod/{pod}/{container}] ".encode() if options.on("prefix") else b""
        try:
            response = api.stream(_path(options, api.cluster, pod, container))
        except failure.ServerFailure as error:
            if not options.on("ignore-errors"):
                raise
            print(error, file=sys.stderr)
            code = 1
            continue
        if options.on("follow") and len(sources) > 1:
            following.append((response, prefix))
        else:
            _copy(response, prefix)
    if following:
        _follow(following)
    return code


def _pods(options: flags.Options, api: client.Client) -> list[JSON]:
    namespace = api.cluster.namespace
    selector = options.text("selector")
    if not selector:
        if not options.args or len(options.args) > 2:
            raise failure.Usage(
                "logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]: POD or TYPE/NAME is a required argument for the logs command", "logs"
            )
        return [pods.get(api, pods.name_of(options.args[0]))]
    if options.args:
        raise failure.Failure("only a selector (-l) or a POD name is allowed")
    found: list[JSON] = api.get(f"/api/v1/namespaces/{client.quote(namespace)}/pods" + client.query([("labelSelector", selector)]))["items"]
    if not found:
        print(f"No resources found in {namespace} namespace.", file=sys.stderr)
    return found


def _sources(options: flags.Options, pod: JSON) -> list[tuple[str, str]]:
    """(Pod, container) pairs, init containers first."""
    name = pod["metadata"]["name"]
    if options.on("all-containers"):
        known = pods.containers(pod)
        order = ("init", "", "ephem")
        return [(name, container) for container, mark in sorted(known, key=lambda pair: order.index(pair[1]))]
    wanted = options.text("container") or (options.args[1] if len(options.args) == 2 else "")
    return [(name, pods.container(pod, wanted))]


def _path(options: flags.Options, cluster: kubeconfig.Cluster, pod: str, container: str) -> str:
    pairs = [("container", container)]
    pairs += [(name, "true") for name in ("follow", "previous", "timestamps") if options.on(name)]
    tail = options.number("tail")
    if options.text("selector") and not options.given("tail"):
        tail = SELECTOR_TAIL
    if tail >= 0:
        pairs.append(("tailLines", str(tail)))
    if options.given("since"):
        pairs.append(("sinceSeconds", str(max(1, round(options.seconds("since"))))))
    if options.given("since-time"):
        pairs.append(("sinceTime", options.text("since-time")))
    if options.given("limit-bytes"):
        pairs.append(("limitBytes", str(options.number("limit-bytes"))))
    return pods.path(cluster.namespace, pod, "log") + client.query(pairs)


def _copy(response: client.Response, prefix: bytes) -> None:
    if prefix:
        for line in response.lines():
            _write(prefix + line + b"\n")
    else:
        for chunk in response.chunks():
            _write(chunk)
    response.connection.sock.close()


def _follow(following: list[tuple[client.Response, bytes]]) -> None:
    """Several at once: whichever has something says it, a whole chunk at a time, so lines are not mixed."""
    poll = select.poll()
    by_descriptor = {response.connection.sock.fileno(): (response.chunks(), response, prefix) for response, prefix in following}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    while by_descriptor:
        waiting = [descriptor for descriptor, (_, response, _) in by_descriptor.items() if response.connection.buffer]
        for descriptor in waiting or [descriptor for descriptor, _ in poll.poll()]:
            chunks, _, prefix = by_descriptor[descriptor]
            chunk = next(chunks, None)
            if chunk is None:
                poll.unregister(descriptor)
                del by_descriptor[descriptor]
            else:
                _write(b"".join(prefix + line for line in chunk.splitlines(keepends=True)) if prefix else chunk)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
