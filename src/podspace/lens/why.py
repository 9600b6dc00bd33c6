"""Why a Pod does not run, in one paragraph: what failed, in whose words, what to change. Pure.

Called by ``service`` with the Pod, its events and the audit's findings; everything said is in one of them. The first cause that stops
the Pod is told, with the others by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from podspace.kube.json import JSON

_PID_ONE = re.compile(r"(?i)\bpid 1\b|process no\.? 1|as pid1|not running as init|run as process")
_WORDS_CHARACTERS = 600
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_ADVICE = {
    "ErrImagePull": "Correct spec.containers[].image, or give credentials in spec.imagePullSecrets",
    "ImagePullBackOff": "Correct spec.containers[].image, or give credentials in spec.imagePullSecrets",
    "InvalidImageName": "Correct spec.containers[].image: it is not a name of an image",
    "ErrImageNeverPull": "Load the image (podspace image load), or let imagePullPolicy be IfNotPresent",
    "CreateContainerConfigError": "Create what it refers to, or mark the reference optional",
    "CreateContainerError": "Correct the container's command, mounts or securityContext",
    "RunContainerError": "Correct the container's command: the program must be in the image",
    "StartError": "Correct the container's command: the program must be in the image",
    "OOMKilled": "Raise resources.limits.memory, or make it use less",
}
_PULLS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One container's. ``weight``: what is told first, 0 most."""

    weight: int
    container: str
    text: str
    advice: str = ""


def explain(pod: JSON, events: Sequence[JSON], findings: Sequence[JSON] = ()) -> tuple[bool, str]:
    """(whether all is well, the paragraph). ``events``: those about this Pod, any order."""
    name, status = f"Pod {pod['metadata']['name']}", pod.get("status") or {}
    phase = status.get("phase")
    if pod["metadata"].get("deletionTimestamp"):
        return False, _deleting(name, pod)
    if phase == "Succeeded":
        return True, f"{name} has ended as it should: every container with exit code 0."
    if not (pod.get("spec") or {}).get("nodeName"):
        return False, _unscheduled(name, status, events)
    troubles = sorted(_troubles(pod, findings), key=lambda trouble: trouble.weight)
    if troubles:
        return False, _paragraph(name, troubles)
    if phase == "Running":
        return _running(name, status, events)
    if phase == "Failed":
        return False, f"{name} has failed: {_sentence(status.get('message') or status.get('reason') or 'nothing says why')}"
    last = _last_warning(events)
    return False, f"{name} is still being started{f': {_sentence(last)}' if last else '; nothing has failed so far.'}"


def _paragraph(name: str, troubles: Sequence[Trouble]) -> str:
    first, *others = troubles
    words = [f"{name} does not run as it should: {first.text}"]
    if first.advice:
        words.append(_sentence(first.advice))
    if others:
        names = ", ".join(dict.fromkeys(other.container for other in others))
        words.append(f"There is trouble with {names} too.")
    return " ".join(words)


def _deleting(name: str, pod: JSON) -> str:
    left = [entry["name"] for entry in _entries(pod) if (entry.get("state") or {}).get("running")]
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    held = pod["metadata"].get("finalizers")
    waits = f"{', '.join(left)} may take up to {grace} s to end after SIGTERM" if left else "what it had is being removed"
    return f"{name} is being deleted: {waits}." + (
        f" Its finalizers ({', '.join(held)}) must be taken off by whoever set them." if held else ""
    )


def _unscheduled(name: str, status: JSON, events: Sequence[JSON]) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            gated = condition.get("reason") == "SchedulingGated"
            advice = "Take the gates off spec.schedulingGates" if gated else "Change what it asks for, or make room"
            return f"{name} is not started because no node takes it: {_sentence(condition.get('message') or '')} {advice}."
    return f"{name} waits for a node: {_sentence(_last_warning(events) or 'the scheduler has not looked at it yet')}"


def _running(name: str, status: JSON, events: Sequence[JSON]) -> tuple[bool, str]:
    unready = [entry["name"] for entry in status.get("containerStatuses") or () if not entry.get("ready")]
    if not unready:
        return True, f"{name} runs: every container is ready."
    last = _last_warning(events)
    return (
        False,
        f"{name} runs, but {', '.join(unready)} is not ready{f': {_sentence(last)}' if last else ': its readiness probe has not passed.'}",
    )


def _entries(pod: JSON) -> Iterator[JSON]:
    for key in _STATUSES:
        yield from (pod.get("status") or {}).get(key) or ()


def _troubles(pod: JSON, findings: Sequence[JSON]) -> Iterator[Trouble]:
    ends_for_good = (pod.get("spec") or {}).get("restartPolicy") == "Never"
    for entry in _entries(pod):
        state = entry.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        last = (entry.get("lastState") or {}).get("terminated")
        reason = waiting.get("reason") or ""
        if reason in ("PodInitializing", "ContainerCreating") and not last:
            continue
        if reason == "CrashLoopBackOff" or (waiting and last and reason not in _ADVICE):
            yield _ended(pod, entry, last or {}, findings, "keeps ending")
        elif waiting and reason:
            yield _waiting(entry, reason, waiting.get("message") or "")
        elif ended and entry.get("restartCount") and _comes_back(pod, entry["name"], failed=ended.get("exitCode") != 0):
            yield _ended(pod, entry, ended, findings, "keeps ending")
        elif ended and ended.get("exitCode") != 0:
            yield _ended(pod, entry, ended, findings, "has ended" if ends_for_good else "ended")


def _comes_back(pod: JSON, name: str, *, failed: bool) -> bool:
    """Whether a container that has ended is to be started again; restart rules are not looked at."""
    spec = pod.get("spec") or {}
    policy = spec.get("restartPolicy") or "Always"
    for field, always in (("containers", policy), ("initContainers", "Never" if policy == "Never" else "OnFailure")):
        for container in spec.get(field) or ():
            if container.get("name") == name:
                wanted = container.get("restartPolicy") or always
                return bool(wanted == "Always" or (wanted == "OnFailure" and failed))
    return False


def _waiting(entry: JSON, reason: str, message: str) -> Trouble:
    what = f"its image {entry.get('image')} cannot be had" if reason in _PULLS else f"it cannot be started ({reason})"
    words = f": {_quoted(message)}" if message else ""
    return Trouble(
        weight=0, container=entry["name"], text=f"container {entry['name']} waits, {what}{words}.", advice=_ADVICE.get(reason, "")
    )


def _ended(pod: JSON, entry: JSON, ended: JSON, findings: Sequence[JSON], how: str) -> Trouble:
    name, code, reason = entry["name"], ended.get("exitCode"), ended.get("reason") or ""
    message = str(ended.get("message") or "").strip()
    restarts = entry.get("restartCount") or 0
    often = f", {restarts} restarts so far" if restarts else ""
    said = f"; its last words: {_quoted(message)}" if message else "; it left no message"
    text = f"container {name} {how} with {_exit(code, reason)}{often}{said}."
    return Trouble(
        weight=1 if how == "keeps ending" else 2, container=name, text=text, advice=_advice(pod, name, code, reason, message, findings)
    )


def _exit(code: object, reason: str) -> str:
    if reason == "OOMKilled":
        return "OOMKilled (it used more memory than its limit)"
    if isinstance(code, int) and code > 128:
        return f"exit code {code} (signal {code - 128})"
    return f"exit code {code}"


def _advice(pod: JSON, name: str, code: object, reason: str, message: str, findings: Sequence[JSON]) -> str:
    for finding in findings:
        if finding["rule"] == "needs-pid-1" and finding["container"] == name:
            return str(finding["message"])
    shares = (pod.get("spec") or {}).get("shareProcessNamespace") or (pod.get("spec") or {}).get("hostPID")
    if shares and _PID_ONE.search(message):
        field = "spec.shareProcessNamespace" if pod["spec"].get("shareProcessNamespace") else "spec.hostPID"
        return f"It wants to be PID 1, which in this Pod it is not: take {field} away, or start the program itself"
    if reason in _ADVICE:
        return _ADVICE[reason]
    if code in (126, 127):
        return "The shell did not find a program, or may not execute it: look at command and args"
    if code == 0:
        return "It ends with success and is started again: it is not a program that stays; set restartPolicy to OnFailure"
    return f"Look at its log: podspace logs -p {pod['metadata']['name']} -c {name}"


def _last_warning(events: Sequence[JSON]) -> str:
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return ""
    newest = max(warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return f"{newest.get('reason')}: {newest.get('message')}"


def _quoted(text: str) -> str:
    short = text if len(text) <= _WORDS_CHARACTERS else "..." + text[-_WORDS_CHARACTERS:]
    return '"' + " ".join(short.split()) + '"'


def _sentence(text: str) -> str:
    flat = " ".join(str(text).split())
    return flat if flat.endswith((".", "!", "?")) else f"{flat}."
