"""``podspace debug``: a debugging container beside those of a running Pod, or in a copy of it, or on the node.

Source: kubernetes.io "Debug Running Pods"; the profiles are those of kubectl 1.36.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Sequence

from podspace.cli import attach, client, failure, flags, kubeconfig, lens, look, pods
from podspace.kube.json import JSON

USAGE = """
Add a debugging container to a Pod, or to a copy of it.

  podspace debug [-it] POD --image=IMAGE [--target=CONTAINER [--as-target]] [-c NAME] [-- COMMAND...]
  podspace debug [-it] POD --copy-to=NAME [--image=IMAGE] [--share-processes] [--set-image=NAME=IMAGE] [-- COMMAND...]
  podspace debug [-it] node/NODE --image=IMAGE

With --target the container finds the target's files in $TARGET_ROOT (as long as the target is not restarted). Whether it will be let in
is known before: SYS_PTRACE is added if it takes that and no --profile says otherwise, and one line says why a look would be denied.

Examples:
  podspace debug -it nginx --image=busybox:1.28 --target=nginx        # sees nginx's processes and, in $TARGET_ROOT, its files
  podspace debug -it web --image=busybox:1.28 --target=app --as-target   # as app's own user, with no more rights than app has
  podspace debug -it nginx --image=busybox:1.28 --copy-to=nginx-debug --share-processes
  podspace debug nginx --copy-to=nginx-new --set-image=nginx=nginx:1.27
"""
FLAGS = (
    flags.Flag("image", takes="IMAGE", help="image of the debugging container"),
    flags.Flag("target", takes="CONTAINER", help="whose processes it shall see"),
    flags.Flag("as-target", help="with --target: run as the target's user and group, with its capabilities"),
    flags.Flag("container", "c", takes="NAME", help="its name (default: debugger-xxxxx)"),
    flags.Flag("stdin", "i", help="keep standard input open"),
    flags.Flag("tty", "t", help="with a terminal"),
    flags.Flag("attach", help="attach to it (default with -i)"),
    flags.Flag("profile", takes="NAME", default="general", help="general, baseline, restricted, netadmin, sysadmin or legacy"),
    flags.Flag("env", takes="NAME=VALUE", many=True, help="environment"),
    flags.Flag("image-pull-policy", takes="POLICY", help="IfNotPresent, Always or Never"),
    flags.Flag("copy-to", takes="NAME", help="make a copy of the Pod instead"),
    flags.Flag("replace", help="with --copy-to: delete the original"),
    flags.Flag("same-node", help="with --copy-to: on the same node"),
    flags.Flag("share-processes", default="true", help="with --copy-to: one process namespace (default true)"),
    flags.Flag("set-image", takes="NAME=IMAGE", many=True, help="with --copy-to: change images; * for all"),
    flags.Flag("arguments-only", help="what comes after -- are the arguments, not the command"),
    flags.Flag("quiet", "q", help="say less"),
    flags.Flag("output", "o", takes="FORMAT", help="json, yaml or wide: print what was made, and do not attach"),
    *look.FLAGS,
    *flags.COMMON,
)
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
PROFILES: dict[str, JSON] = {
    "legacy": {},
    "baseline": {},
    "general": {"capabilities": {"add": ["SYS_PTRACE"]}},
    "restricted": RESTRICTED,
    "netadmin": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
    "sysadmin": {"privileged": True},
}
STRATEGIC = "application/strategic-merge-patch+json"


def run(argv: Sequence[str]) -> int:
    options = flags.parse("debug", USAGE, FLAGS, argv)
    if len(options.args) != 1:
        raise failure.Usage("NAME or TYPE/NAME is required for debug", "debug")
    if options.text("profile") not in PROFILES:
        raise failure.Failure(f"unknown profile: {options.text('profile')}")
    if not options.text("image") and not options.texts("set-image"):
        raise failure.Failure("you must specify --image or --set-image" if options.text("copy-to") else "you must specify --image")
    if options.text("target") and options.text("copy-to"):
        raise failure.Failure("--target is incompatible with --copy-to. Use --share-processes instead.")
    if options.on("as-target") and not options.text("target"):
        raise failure.Failure("--as-target needs --target: as whom it shall run")
    lens.form(options)  # refused before anything is made
    with client.Client(kubeconfig.load(options)) as api:
        return _debug(options, api)


def _debug(options: flags.Options, api: client.Client) -> int:
    if options.args[0].startswith(("node/", "nodes/", "no/")):
        pod, container = _on_node(options, api, options.args[0].partition("/")[2])
    else:
        pod = pods.get(api, pods.name_of(options.args[0]))
        make = _copy if options.text("copy-to") else _ephemeral
        pod, container = make(options, api, pod)
    if options.text("output"):
        sys.stdout.write(_told(pod, container, lens.form(options)))
        return 0
    if not container or not (options.on("attach") if options.given("attach") else options.on("stdin")):
        return 0
    running = wait_running(api, pod, container)
    return attach.attach(api, running, container, stdin=options.on("stdin"), tty=options.on("tty"), quiet=options.on("quiet"))


def _told(pod: JSON, name: str, form: str) -> str:
    """What was made, for ``-o``."""
    container = pods.spec_of(pod, name)
    env = {entry["name"]: entry.get("value", "") for entry in container.get("env") or ()}
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
    shown = {"kind": "PodDebug", "apiVersion": "lens.podspace.io/v1", "metadata": metadata, "container": container}
    if form != "wide":
        return lens.structured(shown, form)
    target = container.get("targetContainerName", "")
    words = [f"{name} in pod {metadata['name']}", *([f"target {target}"] if target else [])]
    words += [f"{variable}={env[variable]}" for variable in ("TARGET_ROOT",) if variable in env]
    return ", ".join(words) + "\n"


def wait_running(api: client.Client, pod: JSON, container: str) -> JSON:
    """Return the Pod once the container runs or has run.  Raises: failure.Failure when the Pod goes away before."""
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{client.quote(metadata['namespace'])}/pods"
    told = ""
    while True:
        pod = api.get(f"{path}/{client.quote(metadata['name'])}")
        if _started(pod, container):
            return pod
        pairs = [
            ("fieldSelector", f"metadata.name={metadata['name']}"),
            ("resourceVersion", pod["metadata"]["resourceVersion"]),
            ("watch", "true"),
        ]
        response = api.stream(path + client.query(pairs))
        for line in response.lines():
            event = json.loads(line)
            if event["type"] == "DELETED":
                raise failure.Failure(f"pod {metadata['name']} was deleted before {container} ran")
            if event["type"] != "MODIFIED" and event["type"] != "ADDED":
                break
            told = _tell_waiting(event["object"], container, told)
            if _started(event["object"], container):
                response.connection.sock.close()
                found: JSON = event["object"]
                return found
        response.connection.sock.close()


def _started(pod: JSON, container: str) -> bool:
    state = _state(pod, container)
    return "running" in state or "terminated" in state


def _tell_waiting(pod: JSON, container: str, told: str) -> str:
    """Say why it does not run yet, once for each reason: an image that cannot be had is waited for until it can."""
    waiting = _state(pod, container).get("waiting") or {}
    said = f"Warning: container {container}: {waiting['message']}" if waiting.get("message") else told
    if said != told:
        print(said, file=sys.stderr)
    return said


def _state(pod: JSON, container: str) -> JSON:
    status = pod.get("status") or {}
    for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(group) or ():
            if entry["name"] == container:
                return entry.get("state") or {}
    return {}


def _ephemeral(options: flags.Options, api: client.Client, pod: JSON) -> tuple[JSON, str]:
    name = _name(options, pod)
    target = options.text("target")
    if target:
        known = [each for each, _ in pods.containers(pod)]
        if target not in known:
            raise failure.Failure(f'target container "{target}" not found in pod {pod["metadata"]["name"]}')
        if not options.on("quiet"):
            print(
                f'Targeting container "{target}". If you don\'t see processes from this container'
                " it may be because the container runtime doesn't support this feature.",
                file=sys.stderr,
            )
    container = _container(options, name) | ({"targetContainerName": target} if target else {})
    if target:
        from podspace.cli import debug_target

        chosen, as_target = options.given("profile"), options.on("as-target")
        if as_target and not chosen:
            container.pop("securityContext", None)  # the general profile's SYS_PTRACE: added again if there is no way without
        inside = look.choose(options, api)
        container = debug_target.fitted(inside, pod, container, target, as_target=as_target, may_add=not chosen)
    return add_ephemeral(api, pod, container), name


def add_ephemeral(api: client.Client, pod: JSON, container: JSON) -> JSON:
    """Return the Pod that has it.  Raises: failure.ServerFailure."""
    order = [each["name"] for each in (*(pod["spec"].get("ephemeralContainers") or ()), container)]
    body = {"spec": {"$setElementOrder/ephemeralContainers": [{"name": each} for each in order], "ephemeralContainers": [container]}}
    path = pods.path(pod["metadata"]["namespace"], pod["metadata"]["name"], "ephemeralcontainers")
    return api.request("PATCH", path, body, content_type=STRATEGIC)


def _copy(options: flags.Options, api: client.Client, pod: JSON) -> tuple[JSON, str]:
    made, name = copied(options, pod)
    namespace = pod["metadata"]["namespace"]
    answer = api.request("POST", pods.path(namespace, "").rstrip("/"), made)
    if options.on("replace"):
        api.request("DELETE", pods.path(namespace, pod["metadata"]["name"]), {"propagationPolicy": "Background"})
    return answer, name


def copied(options: flags.Options, pod: JSON) -> tuple[JSON, str]:
    """The copy, and the name of the container to attach to ("" = none was added or named)."""
    spec = copy.deepcopy(pod["spec"])
    spec.pop("ephemeralContainers", None)
    if not options.on("same-node"):
        spec.pop("nodeName", None)
    images = dict(pair.split("=", 1) for text in options.texts("set-image") for pair in text.split(",") if "=" in pair)
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        container["image"] = images.get(container["name"], images.get("*", container["image"]))
    name = options.text("container")
    existing = next((each for each in spec["containers"] if each["name"] == name), None)
    if existing is not None:
        _override(options, existing)
    elif options.text("image"):
        name = _name(options, pod)
        for container in spec["containers"]:
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                container.pop(probe, None)
        spec["containers"].append(_container(options, name))
    if options.text("image") and (options.given("share-processes") or "shareProcessNamespace" not in spec):
        spec["shareProcessNamespace"] = options.on("share-processes")
    metadata: JSON = {"name": options.text("copy-to"), "namespace": pod["metadata"]["namespace"]}
    if images and not options.text("image"):
        metadata |= {member: pod["metadata"][member] for member in ("labels", "annotations") if member in pod["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, name


def _override(options: flags.Options, container: JSON) -> None:
    if options.text("image"):
        container["image"] = options.text("image")
    if options.rest:
        container["args" if options.on("arguments-only") else "command"] = options.rest
        if not options.on("arguments-only"):
            container.pop("args", None)
    container["stdin"], container["tty"] = options.on("stdin"), options.on("tty")


def _on_node(options: flags.Options, api: client.Client, node: str) -> tuple[JSON, str]:
    api.get(f"/api/v1/nodes/{client.quote(node)}")
    name = "debugger"
    spec = {
        "nodeName": node,
        "hostPID": True,
        "hostNetwork": True,
        "hostIPC": True,
        "restartPolicy": "Never",
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "host-root", "hostPath": {"path": "/"}}],
        "containers": [_container(options, name) | {"volumeMounts": [{"name": "host-root", "mountPath": "/host"}]}],
    }
    metadata = {"name": f"node-debugger-{node}-{suffix()}", "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}}
    if not options.on("quiet"):
        print(f"Creating debugging pod {metadata['name']} with container {name} on node {node}.")
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return api.request("POST", pods.path(api.cluster.namespace, "").rstrip("/"), body), name


def _container(options: flags.Options, name: str) -> JSON:
    container: JSON = {"name": name, "image": options.text("image"), "resources": {}, "terminationMessagePolicy": "File"}
    if options.rest:
        container["args" if options.on("arguments-only") else "command"] = options.rest
    if options.on("stdin"):
        container["stdin"] = True
    if options.on("tty"):
        container["tty"] = True
    if options.text("image-pull-policy"):
        container["imagePullPolicy"] = options.text("image-pull-policy")
    pairs = [pair.partition("=") for pair in options.texts("env")]
    if pairs:
        container["env"] = [{"name": variable, "value": value} for variable, _, value in pairs]
    security = PROFILES[options.text("profile")]
    return container | ({"securityContext": security} if security else {})


def _name(options: flags.Options, pod: JSON) -> str:
    name = options.text("container")
    if name:
        return name
    taken = [each for each, _ in pods.containers(pod)]
    while not name or name in taken:
        name = f"debugger-{suffix()}"
    if not options.on("quiet"):
        print(f"Defaulting debug container name to {name}.", file=sys.stderr)
    return name


def suffix() -> str:
    return "".join(LETTERS[byte % len(LETTERS)] for byte in os.urandom(5))
