"""What a container had to say when it ended: its termination message, or the end of its log.

Source: kubelet pkg/kubelet/kuberuntime/kuberuntime_container.go getTerminationMessage (the last 4096 bytes; of a log 2048, 80 lines).
"""

from __future__ import annotations

import os
from pathlib import Path

from podspace.node.pod import Container, Pod
from podspace.runtime.model import ContainerStatus
from podspace.wire import crilog

FILE_LIMIT_BYTES = 4096
LIMIT_OF_POD_BYTES = 12 << 10  # for the messages of all its containers, in equal parts
LOG_LIMIT_BYTES = 2048
LOG_LIMIT_LINES = 80
LOG_READ_BYTES = 1 << 20


def message_file(pods: Path, pod: Pod, container_name: str, attempt: int) -> Path:
    """The host's side of ``terminationMessagePath``."""
    return pods / pod.uid / "containers" / container_name / str(attempt)


def termination_message(pods: Path, pod: Pod, container: Container, status: ContainerStatus) -> str:
    """Return the message a container left, "" if none.

    Beyond what a kubelet does: in a shared process namespace a container that fails without a message gets the end of its log,
    because the usual reason (an image that insists on being PID 1) is said nowhere else.
    """
    try:
        with message_file(pods, pod, status.config.name, status.config.attempt).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - FILE_LIMIT_BYTES))
            text = file.read(FILE_LIMIT_BYTES).decode(errors="replace")
    except OSError:
        text = ""
    if text or status.exit_code == 0 or not status.started_nanos:
        return text
    if container.termination_message_policy == "FallbackToLogsOnError" or pod.share_pid:
        return last_words(status)
    return ""


def shorten(text: str, limit_bytes: int) -> str:
    """Cut to so many bytes, never in the middle of a character."""
    return text.encode()[:limit_bytes].decode(errors="ignore")


def last_words(status: ContainerStatus) -> str:
    """The end of the container's log, without the times."""
    renderer = crilog.Renderer()
    try:
        with status.log_path.open("rb") as file:
            file.seek(crilog.tail_offset(file, LOG_LIMIT_LINES, reach_bytes=LOG_READ_BYTES))
            text = renderer.feed(file.read(LOG_READ_BYTES))
    except OSError:
        return ""
    return text[-LOG_LIMIT_BYTES:].decode(errors="replace")
