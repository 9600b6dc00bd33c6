"""A look into a Pod of any cluster, by what every cluster has: an ephemeral container, and ``exec`` into it.

The container sleeps for a quarter of an hour and is used again while it does; a Pod cannot lose one once it has it. It runs as root with
SYS_PTRACE, which a cluster's policy may forbid: then that is said, in the cluster's words. Where processes are not shared there is one for
each container looked into. Nothing else of ours is needed: the scripts are ``inside_scripts``, what they print is read by
``lens.inside``. Called through ``look``.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from podspace.cli import client, debug, exec, failure, inside_files, inside_scripts, local_audit, pods, remote
from podspace.kube.json import JSON
from podspace.lens import audit, inside, model, present, safetext, signals, why
from podspace.runtime.model import NamespaceMode

PREFIX = "podspace-lens-"
SECONDS = 900
LIMIT = 20_000
CHUNK_BYTES = 1 << 18
GONE, SAID = 3, 4  # exit codes of the scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A container of ours to look from. ``target``: the container whose process namespace it is in, "" = the Pod's."""

    name: str
    id: str
    target: str


class ClusterLook:
    """Fulfils ``look.Look``."""

    leaves_traces = True

    def __init__(self, api: client.Client, *, image: str) -> None:
        self._api = api
        self._image = image

    def processes(self, pod: str, *, threads: bool = False, namespaces: bool = False) -> JSON:
        found = self._pod(pod)
        return present.processes(_census(found, self._looks(found, threads=threads)), from_host=False)

    def signal(self, pod: str, spec: JSON) -> JSON:
        found = self._pod(pod)
        wanted = signals.parse(spec)
        looks = self._looks(found)
        census = _census(found, looks)
        chosen = signals.targets(census, wanted)
        sent = [self._send(found, process, wanted.number, looks) for process in chosen]
        return {**present.head("PodSignal", census.pod), "spec": spec, "status": {"processes": sent}}

    def files(self, pod: str, container: str, path: str, *, depth: int) -> JSON:
        found = self._pod(pod)
        place, pid = self._main(found, container)
        words = [str(pid), path, str(depth), str(LIMIT + 1)]
        printed = self._run(found, place, inside_scripts.LIST, words, about=f"{path} in container {container}")
        head = {"kind": "PodFiles", "apiVersion": present.API_VERSION, "metadata": _metadata(found)}
        with _understood(self._image):
            return {**head, "container": container, **inside_files.listing(printed.read(), pid, path, LIMIT)}

    def content(self, pod: str, container: str, path: str, *, archive: bool) -> Iterator[bytes]:
        found = self._pod(pod)
        place, pid = self._main(found, container)
        script = inside_scripts.TAR if archive else inside_scripts.CAT
        printed = self._run(found, place, script, [str(pid), path], about=f"{path} in container {container}")
        return _chunks(_renamed(printed, path.strip("/") or ".") if archive else printed)

    def changes(self, pod: str, container: str, path: str) -> JSON:
        raise failure.Failure("what changed since the image is known on the node only: files diff needs podspace there")

    def audit(self, pod: str) -> JSON:
        found = self._pod(pod)
        looks = self._looks(found)
        parties = [party for each in looks for party in each.parties]
        kernel = looks[0].kernel
        status = audit.of_running(found, parties, {}, kernel, {})
        return {"kind": "PodAudit", "apiVersion": present.API_VERSION, "metadata": _metadata(found), "status": status}

    def review(self, pod: JSON) -> JSON:
        return local_audit.review(pod)

    def why(self, pod: str) -> JSON:
        found = self._pod(pod)
        namespace, uid = found["metadata"]["namespace"], found["metadata"]["uid"]
        query = client.query([("fieldSelector", f"involvedObject.uid={uid}")])
        events = self._api.get(f"/api/v1/namespaces/{client.quote(namespace)}/events{query}").get("items") or []
        well, text = why.explain(found, events, local_audit.review(_manifest(found))["status"]["findings"])
        head = {"kind": "PodDiagnosis", "apiVersion": present.API_VERSION, "metadata": _metadata(found)}
        return {**head, "status": {"ok": well, "message": text}}

    def _pod(self, name: str) -> JSON:
        return pods.get(self._api, pods.name_of(name))

    def _looks(self, pod: JSON, *, threads: bool = False) -> list[inside.Inside]:
        """One from each place there is to look from."""
        containers = _running(pod)
        found = []
        for place in self._places(pod, containers):
            script = ("THREADS=1\n" if threads else "") + inside.SCRIPT
            printed = self._run(pod, place, script, [], about=f"pod {pod['metadata']['name']}").read()
            with _understood(self._image):
                found.append(inside.look(printed, containers, hide=place.id, target=place.target))
        return found

    def _main(self, pod: JSON, container: str) -> tuple[_Place, int]:
        """From where a container's files can be reached, and its main process's pid there."""
        containers = [each for each in _running(pod) if _shares(pod) or each.name == container]
        if container not in [each.name for each in containers]:
            raise failure.Failure(f"container {container} of pod {pod['metadata']['name']} is not running")
        (place,) = self._places(pod, containers)
        printed = self._run(pod, place, inside.SCRIPT, [], about=f"container {container}").read()
        with _understood(self._image):
            looked = inside.look(printed, containers, hide=place.id, target=place.target)
        pid = next((member.pid for member in looked.members if member.name == container), 0)
        if not pid:
            raise failure.Failure(f"container {container} has just ended")
        return place, pid

    def _send(self, pod: JSON, process: model.Process, number: int, looks: Sequence[inside.Inside]) -> JSON:
        shown: JSON = {"pid": process.pod_pid, "container": process.container, "name": process.name}
        target = "" if _shares(pod) else process.container
        containers = [each for each in _running(pod) if not target or each.name == target]
        (place,) = self._places(pod, containers)
        words = [str(number), str(process.pod_pid), str(process.start_ticks)]
        with _scratch() as output:
            code = self._execute(pod, place, inside_scripts.SIGNAL, words, output, about=f"process {process.pod_pid}")
        if code:
            return {**shown, "outcome": "Gone"}
        status = next(each.status for each in looks if process in each.processes)[process.pid]
        return {**shown, "outcome": signals.outcome(inside.fields(status), number, init=process.pod_pid == 1)}

    def _places(self, pod: JSON, containers: Sequence[inside.Container]) -> list[_Place]:
        """Containers of ours, made if there is none yet: one where processes are shared, else one for each of ``containers``."""
        targets = [""] if _shares(pod) else [container.name for container in containers]
        return [self._place(pod, target) for target in targets]

    def _place(self, pod: JSON, target: str) -> _Place:
        name = next((name for name in _ours(pod, target) if "running" in _state(pod, name)), "")
        if not name:
            name = self._make(pod, target)
            pod = debug.wait_running(self._api, pod, name)
            if "running" not in _state(pod, name):
                raise failure.Failure(f"container {name} did not run: {_state(pod, name)}")
        return _Place(name=name, id=_id_of(pod, name), target=target)

    def _make(self, pod: JSON, target: str) -> str:
        metadata = pod["metadata"]
        name = f"{PREFIX}{debug.suffix()}"
        container: JSON = {
            "name": name,
            "image": self._image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", str(SECONDS)],
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": ["SYS_PTRACE"]}},
        } | ({"targetContainerName": target} if target else {})
        try:
            debug.add_ephemeral(self._api, pod, container)
        except failure.ServerFailure as error:
            if error.code not in (403, 422):
                raise
            why_not = f"the cluster forbids the ephemeral container by which to look into pod {metadata['name']}: {error.message}"
            raise failure.Failure(why_not) from None
        return name

    def _run(self, pod: JSON, place: _Place, script: str, words: Sequence[str], *, about: str) -> IO[bytes]:
        """Its output, in a file without a name, from the beginning.  Raises: failure.Failure with what the script said."""
        output = _scratch()
        if self._execute(pod, place, script, words, output, about=about) == GONE:
            raise failure.Failure(f"{about}: it has just ended")
        output.seek(0)
        return output

    def _execute(self, pod: JSON, place: _Place, script: str, words: Sequence[str], output: IO[bytes], *, about: str) -> int:
        """The exit code, 0 or ``GONE``."""
        metadata = pod["metadata"]
        with tempfile.TemporaryFile() as complaints:
            ends = remote.Ends(stdout=output.fileno(), stderr=complaints.fileno())
            command = ["sh", "-c", script, "sh", *words]
            path = exec.session_path(metadata["namespace"], metadata["name"], "exec", place.name, ends, command)
            code = remote.exit_code(remote.run(self._api, path, ends), quiet=True)
            complaints.seek(0)
            said = complaints.read(4096).decode(errors="replace").strip()
        if code not in (0, GONE):
            raise failure.Failure(f"{about}: {safetext.escaped(said) or f'exit code {code}'}")
        return code


@contextlib.contextmanager
def _understood(image: str) -> Iterator[None]:
    """Tools of another image may print anything.  Raises: failure.Failure."""
    try:
        yield
    except (ValueError, OverflowError, IndexError) as error:
        why = safetext.escaped(str(error))[:200]
        words = f"what the tools of image {image} printed cannot be read ({why}): use --lens-image with a busybox"
        raise failure.Failure(words) from None


def _metadata(pod: JSON) -> JSON:
    return {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}


def _manifest(pod: JSON) -> JSON:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(pod), "spec": pod["spec"]}


def _shares(pod: JSON) -> bool:
    return bool(pod["spec"].get("shareProcessNamespace"))


def _census(pod: JSON, looks: Sequence[inside.Inside]) -> model.Census:
    mode = NamespaceMode.POD if _shares(pod) else NamespaceMode.CONTAINER
    metadata = pod["metadata"]
    return inside.census(metadata["name"], metadata["namespace"], metadata["uid"], mode, looks)


def _statuses(pod: JSON) -> Iterator[JSON]:
    for group in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        yield from (pod.get("status") or {}).get(group) or ()


def _running(pod: JSON) -> list[inside.Container]:
    """Those that run, but for ours.  Raises: failure.Failure when there is none, or when nobody can look into them."""
    if pod["spec"].get("hostPID"):
        raise failure.Failure("this Pod is in the node's process namespace: what is its, only the node can tell")
    found = [
        inside.Container(name=entry["name"], id=_id(entry))
        for entry in _statuses(pod)
        if "running" in (entry.get("state") or {}) and not entry["name"].startswith(PREFIX)
    ]
    if not found:
        raise failure.Failure(f"pod {pod['metadata']['name']} has no processes: nothing of it runs")
    return found


def _ours(pod: JSON, target: str) -> list[str]:
    ephemeral = pod["spec"].get("ephemeralContainers") or ()
    return [each["name"] for each in ephemeral if each["name"].startswith(PREFIX) and each.get("targetContainerName", "") == target]


def _state(pod: JSON, name: str) -> JSON:
    return next((entry.get("state") or {} for entry in _statuses(pod) if entry["name"] == name), {})


def _id(entry: JSON) -> str:
    return str(entry.get("containerID") or "").rpartition("//")[2]


def _id_of(pod: JSON, name: str) -> str:
    return next((_id(entry) for entry in _statuses(pod) if entry["name"] == name), "")


def _renamed(archive: IO[bytes], wanted: str) -> IO[bytes]:
    """The same tar with its names below ``wanted``, whatever symlinks led there."""
    renamed = _scratch()
    with (
        archive,
        tarfile.open(fileobj=archive, errors="surrogateescape") as old,
        tarfile.open(fileobj=renamed, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as new,
    ):
        base = ""
        for member in old:
            base = base or member.name
            member.name = os.path.normpath(wanted + member.name[len(base) :])
            if member.islnk():
                member.linkname = os.path.normpath(wanted + member.linkname[len(base) :])
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    renamed.seek(0)
    return renamed


def _scratch() -> IO[bytes]:
    """A file without a name; whoever gets it closes it."""
    return tempfile.TemporaryFile()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
