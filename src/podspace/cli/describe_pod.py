"""What ``describe pod`` prints, but for the events. Pure. The wording is kubectl's, users grep for it."""

from __future__ import annotations

from collections.abc import Sequence

from podspace.cli.describe_text import NONE, Lines
from podspace.kube import duration, times
from podspace.kube.json import JSON

ANNOTATIONS_HIDDEN = ("kubectl.kubernetes.io/last-applied-configuration",)
GROUPS = (
    ("Init Containers", "initContainers", "initContainerStatuses"),
    ("Containers", "containers", "containerStatuses"),
    ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
)
VOLUME_TEXTS = {
    "emptyDir": ("EmptyDir (a temporary directory that shares a pod's lifetime)", (("Medium", "medium"), ("SizeLimit", "sizeLimit"))),
    "hostPath": ("HostPath (bare host directory volume)", (("Path", "path"), ("HostPathType", "type"))),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", (("Name", "name"), ("Optional", "optional"))),
    "secret": ("Secret (a volume populated by a Secret)", (("SecretName", "secretName"), ("Optional", "optional"))),
    "downwardAPI": ("DownwardAPI (a volume populated by information about the pod)", ()),
    "projected": ("Projected (a volume that contains injected data from multiple sources)", ()),
    "image": ("Image (a container image or OCI artifact)", (("Reference", "reference"), ("PullPolicy", "pullPolicy"))),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        (("ClaimName", "claimName"),),
    ),
}


def describe(lines: Lines, pod: JSON, *, now: float) -> None:
    """``now``: Unix seconds."""
    _head(lines, pod, now)
    status = pod.get("status") or {}
    for title, group, statuses in GROUPS:
        known = {entry["name"]: entry for entry in status.get(statuses) or ()}
        containers = pod["spec"].get(group) or ()
        if containers:
            lines.add(0, f"{title}:")
        for container in containers:
            _container(lines, container, known.get(container["name"]))
    conditions = status.get("conditions") or ()
    if conditions:
        lines.add(0, "Conditions:")
        lines.add(1, "Type\tStatus")
        for condition in conditions:
            lines.add(1, f"{condition['type']} \t{condition['status']} ")
    _volumes(lines, pod["spec"].get("volumes") or ())
    _tail(lines, pod)


def _head(lines: Lines, pod: JSON, now: float) -> None:
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    lines.field(0, "Name", metadata["name"])
    lines.field(0, "Namespace", metadata.get("namespace", ""))
    if spec.get("priority") is not None:
        lines.field(0, "Priority", spec["priority"])
    if spec.get("serviceAccountName"):
        lines.field(0, "Service Account", spec["serviceAccountName"])
    lines.field(0, "Node", f"{spec['nodeName']}/{status.get('hostIP', '')}" if spec.get("nodeName") else NONE)
    if status.get("startTime"):
        lines.field(0, "Start Time", moment(status["startTime"]))
    lines.pairs(0, "Labels", metadata.get("labels"))
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name not in ANNOTATIONS_HIDDEN}
    lines.pairs(0, "Annotations", annotations, sign=": ")
    if metadata.get("deletionTimestamp"):
        grace = metadata.get("deletionGracePeriodSeconds") or 0
        asked = times.parse(metadata["deletionTimestamp"]) - grace
        lines.field(0, "Status", f"Terminating (lasts {duration.human(max(0.0, now - asked))})")
        lines.field(0, "Termination Grace Period", f"{grace}s")
    else:
        lines.field(0, "Status", status.get("phase", ""))
    for name in ("reason", "message"):
        if status.get(name):
            lines.field(0, name.capitalize(), status[name])
    if spec.get("shareProcessNamespace") is not None:
        lines.field(0, "Shared PIDs", str(spec["shareProcessNamespace"]).lower())
    lines.field(0, "IP", status.get("podIP", ""))
    addresses = status.get("podIPs") or ()
    if addresses:
        lines.add(0, "IPs:")
        for address in addresses:
            lines.field(1, "IP", address["ip"])
    else:
        lines.field(0, "IPs", NONE)


def _container(lines: Lines, container: JSON, status: JSON | None) -> None:
    lines.add(1, f"{container['name']}:")
    if status is not None:
        lines.field(2, "Container ID", status.get("containerID", ""))
    lines.field(2, "Image", container.get("image", ""))
    if status is not None:
        lines.field(2, "Image ID", status.get("imageID", ""))
    _ports(lines, container.get("ports") or ())
    for title, name in (("Command", "command"), ("Args", "args")):
        if container.get(name):
            lines.add(2, f"{title}:")
            for word in container[name]:
                for line in word.split("\n"):
                    lines.add(3, line)
    if status is not None:
        _state(lines, "State", status.get("state") or {})
        if status.get("lastState"):
            _state(lines, "Last State", status["lastState"])
        lines.field(2, "Ready", str(bool(status.get("ready"))))
        lines.field(2, "Restart Count", status.get("restartCount", 0))
    resources = container.get("resources") or {}
    for title in ("limits", "requests"):
        if resources.get(title):
            lines.add(2, f"{title.capitalize()}:")
            for name, amount in sorted(resources[title].items()):
                lines.field(3, name, amount)
    for title in ("liveness", "readiness", "startup"):
        if container.get(f"{title}Probe"):
            lines.field(2, title.capitalize(), _probe(container[f"{title}Probe"]))
    _environment(lines, container)
    _mounts(lines, container.get("volumeMounts") or ())


def _ports(lines: Lines, ports: Sequence[JSON]) -> None:
    plural = "s" if len(ports) > 1 else ""
    own = ", ".join(f"{port['containerPort']}/{port.get('protocol', 'TCP')}" for port in ports)
    host = ", ".join(f"{port.get('hostPort', 0)}/{port.get('protocol', 'TCP')}" for port in ports)
    lines.field(2, f"Port{plural}", own or NONE)
    lines.field(2, f"Host Port{plural}", host or NONE)


def _state(lines: Lines, title: str, state: JSON) -> None:
    if "running" in state:
        lines.field(2, title, "Running")
        lines.field(3, "Started", moment(state["running"].get("startedAt")))
    elif "terminated" in state:
        ended = state["terminated"]
        lines.field(2, title, "Terminated")
        for name in ("reason", "message"):
            if ended.get(name):
                lines.field(3, name.capitalize(), ended[name])
        lines.field(3, "Exit Code", ended.get("exitCode", 0))
        if ended.get("signal"):
            lines.field(3, "Signal", ended["signal"])
        lines.field(3, "Started", moment(ended.get("startedAt")))
        lines.field(3, "Finished", moment(ended.get("finishedAt")))
    else:
        waiting = state.get("waiting") or {}
        lines.field(2, title, "Waiting")
        for name in ("reason", "message"):
            if waiting.get(name):
                lines.field(3, name.capitalize(), waiting[name])


def _probe(probe: JSON) -> str:
    times_text = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s period={probe.get('periodSeconds', 10)}s"
        f" #success={probe.get('successThreshold', 1)} #failure={probe.get('failureThreshold', 3)}"
    )
    if "exec" in probe:
        return f"exec [{' '.join(probe['exec'].get('command') or ())}] {times_text}"
    if "httpGet" in probe:
        get = probe["httpGet"]
        return f"http-get {get.get('scheme', 'HTTP').lower()}://{get.get('host', '')}:{get.get('port')}{get.get('path', '')} {times_text}"
    if "tcpSocket" in probe:
        return f"tcp-socket {probe['tcpSocket'].get('host', '')}:{probe['tcpSocket'].get('port')} {times_text}"
    return f"grpc <pod>:{(probe.get('grpc') or {}).get('port')} {(probe.get('grpc') or {}).get('service', '')} {times_text}"


def _environment(lines: Lines, container: JSON) -> None:
    sources = container.get("envFrom") or ()
    if sources:
        lines.add(2, "Environment Variables from:")
        for source in sources:
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            reference = source.get("configMapRef") or source.get("secretRef") or {}
            lines.add(3, f"{reference.get('name', '')}\t{kind}\tOptional: {str(bool(reference.get('optional'))).lower()}")
    variables = container.get("env") or ()
    if not variables:
        lines.field(2, "Environment", NONE)
        return
    lines.add(2, "Environment:")
    for variable in variables:
        lines.field(3, variable["name"], _value(variable))


def _value(variable: JSON) -> str:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        return f" ({source['fieldRef'].get('apiVersion', 'v1')}:{source['fieldRef']['fieldPath']})"
    for name, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if name in source:
            reference = source[name]
            optional = str(bool(reference.get("optional"))).lower()
            return f"<set to the key '{reference['key']}' of {kind} '{reference.get('name', '')}'>  Optional: {optional}"
    reference = source.get("resourceFieldRef") or {}
    return f"{reference.get('divisor', '')} ({reference.get('resource', '')})"


def _mounts(lines: Lines, mounts: Sequence[JSON]) -> None:
    if not mounts:
        lines.field(2, "Mounts", NONE)
        return
    lines.add(2, "Mounts:")
    for mount in sorted(mounts, key=lambda each: str(each["mountPath"])):
        marks = ["ro" if mount.get("readOnly") else "rw"]
        marks += [f'path="{mount["subPath"]}"'] if mount.get("subPath") else []
        lines.add(3, f"{mount['mountPath']} from {mount['name']} ({','.join(marks)})")


def _volumes(lines: Lines, volumes: Sequence[JSON]) -> None:
    if not volumes:
        lines.field(0, "Volumes", NONE)
        return
    lines.add(0, "Volumes:")
    for volume in volumes:
        lines.add(1, f"{volume['name']}:")
        kind = next((name for name in volume if name != "name"), "")
        title, members = VOLUME_TEXTS.get(kind, (kind, ()))
        lines.field(2, "Type", title)
        for label, name in members:
            value = (volume[kind] or {}).get(name)
            lines.field(2, label, {None: "<unset>" if label == "SizeLimit" else "", True: "true", False: "false"}.get(value, value))


def _tail(lines: Lines, pod: JSON) -> None:
    spec = pod["spec"]
    lines.field(0, "QoS Class", (pod.get("status") or {}).get("qosClass", ""))
    lines.pairs(0, "Node-Selectors", spec.get("nodeSelector"))
    lines.field(0, "Tolerations", "\n".join(_toleration(each) for each in spec.get("tolerations") or ()) or NONE)


def _toleration(toleration: JSON) -> str:
    text = str(toleration.get("key", ""))
    if toleration.get("value"):
        text += f"={toleration['value']}"
    if toleration.get("effect"):
        text += f":{toleration['effect']}"
    if toleration.get("operator") == "Exists":
        text += " op=Exists" if text else "op=Exists"
    if toleration.get("tolerationSeconds") is not None:
        text += f" for {toleration['tolerationSeconds']}s"
    return text


def moment(text: str | None) -> str:
    """``Mon, 23 Nov 2026 19:07:00 +0000`` in the user's time zone."""
    if not text:
        return "Mon, 01 Jan 0001 00:00:00 +0000"
    import time

    return time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(times.parse(text)))
