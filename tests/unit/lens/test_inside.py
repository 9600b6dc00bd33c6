"""What a shell printed inside a Pod, read without believing what processes say of themselves."""

from __future__ import annotations

from podspace.lens import inside, model

NGINX, SHELL, OURS = "a" * 64, "b" * 64, "c" * 64
CONTAINERS = (inside.Container(name="nginx", id=NGINX), inside.Container(name="shell", id=SHELL))


def stat(pid: int, name: str, parent: int, start: int, state: str = "S") -> str:
    return f"{pid}/stat:{pid} ({name}) {state} {parent} 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 {start} 0 0 0"


def printed(*processes: list[str]) -> bytes:
    lines = ["stat:btime 1000", "sys/kernel/yama/ptrace_scope:1", *(line for lines in processes for line in lines)]
    return "\n".join(lines).encode()


def process(
    pid: int, name: str, cgroup: str, *, parent: int = 0, start: int = 0, uid: int = 0, title: str = "", state: str = "S"
) -> list[str]:
    return [
        stat(pid, name, parent, start or pid, state),
        f"{pid}/status:Uid:\t{uid}\t{uid}\t{uid}\t{uid}",
        f"{pid}/status:Gid:\t{uid}\t{uid}\t{uid}\t{uid}",
        f"{pid}/status:CapPrm:\t0000000000000020",
        f"{pid}/status:VmRSS:\t    2048 kB",
        f"{pid}/cgroup:0::{cgroup}",
        f"-r--------    1 {uid}        {uid}                0 Nov 28 00:04 {pid}/environ",
        f"lrwxrwxrwx    1 root     root             0 Nov 28 00:04 {pid}/ns/pid -> pid:[4026532338]",
        f"{pid}/cmdline:{title or name}\1",
    ]


PAUSE = process(1, "pause", "/../sandbox")
MASTER = [*process(8, "nginx", f"/../cri-{NGINX}.scope"), "8/passwd:root:x:0:0::/:/bin/sh", "8/passwd:web:x:101:101::/:/bin/sh"]
WORKER = process(14, "nginx", f"/../cri-{NGINX}.scope", parent=8, uid=101)
SH = process(15, "sh", f"/../cri-{SHELL}.scope")


def look(*processes: list[str], target: str = "") -> inside.Inside:
    return inside.look(printed(*processes), CONTAINERS, hide=OURS, target=target)


def test_containers_are_known_by_their_cgroups() -> None:
    found = look(PAUSE, MASTER, WORKER, SH, process(20, "sleep", "/"))
    assert [(each.container, each.pod_pid, each.user, each.main) for each in found.processes] == [
        (model.PAUSE, 1, "0", True),
        ("nginx", 8, "root", True),
        ("nginx", 14, "web", False),
        ("shell", 15, "0", True),
    ]
    assert [member.name for member in found.members] == [model.PAUSE, "nginx", "shell"]
    assert found.kernel.yama == 1
    master = found.processes[1]
    assert (master.started, master.resident_bytes, master.cpu_seconds) == (1000.08, 2 << 20, 0.11)
    assert found.parties[1].permitted == 0x20


def test_our_own_container_is_left_out_by_its_id_too() -> None:
    assert [each.pod_pid for each in look(PAUSE, process(20, "sleep", f"/kubepods/{OURS}")).processes] == [1]


def test_what_is_executed_later_is_not_the_main_process() -> None:
    found = look(process(3, "late", f"/{NGINX}", start=90), process(9, "early", f"/{NGINX}", start=10))
    assert [(each.pod_pid, each.main) for each in found.processes] == [(3, False), (9, True)]


def test_a_zombie_without_a_cgroup_is_where_its_parent_is() -> None:
    found = look(MASTER, process(30, "gone", "/", parent=8, state="Z"))
    assert [(each.container, each.state) for each in found.processes] == [("nginx", "S"), ("nginx", "Z")]


def test_arguments_cannot_forge_a_line() -> None:
    evil = process(9, "evil", f"/{NGINX}", title="x\2" + stat(1, "fake", 0, 1) + "\1y")
    found = look(PAUSE, evil)
    assert found.processes[0].name == "pause"
    assert found.processes[1].argv == ("x\n" + stat(1, "fake", 0, 1), "y")


def test_a_name_with_parentheses_is_a_name() -> None:
    assert look(process(9, "a) R 1 (b", f"/{NGINX}")).processes[0].name == "a) R 1 (b"


def test_in_a_process_namespace_of_its_own_everybody_else_is_the_target() -> None:
    found = look(process(1, "sleep", "/../unknown"), process(20, "sleep", "/"), target="nginx")
    assert [(each.container, each.pod_pid) for each in found.processes] == [("nginx", 1)]


def test_a_process_that_is_not_dumpable_is_known_by_its_files_owner() -> None:
    lines = [line.replace("1 101        101", "1 0        0") for line in process(1, "x", f"/{NGINX}", uid=101)]
    assert [party.dumpable for party in look(lines).parties] == [False]
    assert [party.dumpable for party in look(process(1, "x", f"/{NGINX}", uid=101)).parties] == [True]


def test_half_a_process_is_left_out() -> None:
    assert look(PAUSE, ["77/status:Uid:\t0\t0\t0\t0"], ["78/stat:78 (x"], ["79/stat:79"]).processes[0].pod_pid == 1
