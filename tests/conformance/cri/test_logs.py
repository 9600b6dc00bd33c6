"""The log of a container while a kubelet rotates it, and what ExecSync keeps of what a command prints."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri

pytestmark = pytest.mark.root

LINES = 60_000
ROTATIONS = 6
# every so many lines it waits to be let on, so that there is something being printed at every rotation
PRINTER = f"""
i=0
while [ $i -lt {LINES} ]; do
    i=$((i + 1))
    echo line $i
    [ $((i % {LINES // ROTATIONS})) = 0 ] && until rm /go; do :; done
done 2>/dev/null
until rm /end 2>/dev/null; do :; done
"""


def payloads(*files: Path) -> list[bytes]:
    """What the container printed, a line each; parts of one line that was cut are put together, also when it was rotated in between."""
    whole, part = [], b""
    for line in b"".join(file.read_bytes() for file in files).split(b"\n")[:-1]:
        _, _, tag, text = line.split(b" ", 3)
        part += text
        if tag == b"F":
            whole.append(part)
            part = b""
    return whole + ([part] if part else [])


def test_no_line_is_lost_or_doubled_when_logs_are_rotated(machine: cri.Machine) -> None:
    client = machine.client
    config = cri.sandbox_config("rotated", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sh", "-c", PRINTER]))
    log = Path(client.status(container).log_path)
    assert log.is_absolute()
    files = []
    for number in range(ROTATIONS):
        client.output(container, "sh", "-c", "touch /go; while [ -e /go ]; do :; done")
        rotated = log.with_name(f"{log.name}.{number}")
        log.rename(rotated)
        client.runtime.ReopenContainerLog(pb.ReopenContainerLogRequest(container_id=container), timeout=cri.SECONDS)
        assert log.exists()
        files.append((rotated, rotated.stat().st_size))
    client.exec(container, "touch", "/end")  # it may be killed before it has ended itself, with the container that it lets end
    events = client.runtime.GetContainerEvents(pb.GetEventsRequest(), timeout=cri.SECONDS)
    client.sandboxes()
    if client.status(container).state != pb.CONTAINER_EXITED:
        next(event for event in events if event.container_id == container and event.container_event_type == pb.CONTAINER_STOPPED_EVENT)
    events.cancel()
    assert [file.stat().st_size for file, _ in files] == [size for _, size in files]  # a rotated one grows no more
    assert payloads(*(file for file, _ in files), log) == [f"line {number}".encode() for number in range(1, LINES + 1)]
    with pytest.raises(grpc.RpcError, match="not running") as refused:
        client.runtime.ReopenContainerLog(pb.ReopenContainerLogRequest(container_id=container), timeout=cri.SECONDS)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_a_command_that_prints_without_end_is_cut_and_runs_to_its_end(machine: cri.Machine) -> None:
    client = cri.Client(cri.socket_of(machine.server.root), most_bytes=64 << 20)
    config = cri.sandbox_config("chatty", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sleep", "1000"]))
    done = client.exec(container, "sh", "-c", "head -c 20000000 /dev/zero; echo err >&2; touch /ended; exit 3", seconds=60)
    assert (len(done.stdout), done.stderr, done.exit_code) == (16 << 20, b"err\n", 3)
    client.output(container, "ls", "/ended")
    client.close()


def test_what_a_command_that_ran_out_of_time_started_is_gone_as_well(machine: cri.Machine) -> None:
    client = machine.client
    config = cri.sandbox_config("late", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sleep", "1000"]))
    with pytest.raises(grpc.RpcError, match="timed out after 1 s") as late:
        client.exec(container, "sh", "-c", "setsid sleep 4321 & sleep 4322", seconds=1)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "432" not in client.output(container, "ps", "ax", "-o", "args")
