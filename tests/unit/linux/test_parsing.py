"""What the kernel prints, parsed."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from podspace.linux import cgroups, inotify, inroot, mounts, procfs

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
"""
UNIFIED = "34 31 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("text", "mode"), [(V2, cgroups.Mode.V2), (V1, cgroups.Mode.V1), (V1 + UNIFIED, cgroups.Mode.HYBRID), ("", cgroups.Mode.NONE)]
)
def test_the_mount_table_tells_the_kind_of_machine(text: str, mode: cgroups.Mode) -> None:
    assert cgroups.mode(mounts.parse_mountinfo(text)) is mode


def test_hierarchies_are_found_by_controller() -> None:
    folder = Path("/sys/fs/cgroup")
    assert cgroups.hierarchies(mounts.parse_mountinfo(V1 + UNIFIED)) == {
        "cpu": folder / "cpu,cpuacct",
        "cpuacct": folder / "cpu,cpuacct",
        "name=systemd": folder / "systemd",
        "unified": folder / "unified",
    }


def test_targets_below_a_folder_are_found_whatever_it_is_called() -> None:
    odd = "/run/a b\\c\u2028d"
    shown = "/run/a\\040b\\134c\u2028d"
    targets = ("/run", shown, f"{shown}/x", f"{shown}x", "/run/other", f"{shown}/x/y")
    text = "".join(f"{number} 1 0:1 / {target} rw - tmpfs none rw\n" for number, target in enumerate(targets))
    assert mounts.targets_below(text, [Path(odd)]) == [f"{odd}/x/y", f"{odd}/x", odd]
    assert mounts.targets_below(text, [Path("/run/other"), Path(odd, "x", "y")]) == [f"{odd}/x/y", "/run/other"]
    assert mounts.targets_below(text, [Path("/ru")]) == []
    assert [entry.target for entry in mounts.parse_mountinfo(text)][1] == odd


def test_mountinfo_has_escapes_and_propagation() -> None:
    (entry,) = mounts.parse_mountinfo("36 35 98:0 /a\\040b /mnt/c\\134d rw master:1 shared:2 - ext4 /dev/root rw\n")
    assert (entry.root, entry.target, entry.propagation) == ("/a b", "/mnt/c\\d", ("master:1", "shared:2"))


def test_a_command_name_may_hold_anything() -> None:
    numbers = " ".join(str(number) for number in range(4, 53))
    stat = procfs.parse_stat(f"42 (a) (b c) S {numbers}\n")
    assert (stat.pid, stat.comm, stat.state, stat.parent, stat.session, stat.start_time) == (42, "a) (b c", "S", 4, 6, 22)
    assert (stat.arg_start, stat.arg_end) == (48, 49)


def test_a_mount_with_others_below_has_twins_elsewhere_or_not() -> None:
    def line(target: str, *marks: str) -> str:
        return " ".join(["1", "2", "0:3", "/", target, "rw", *marks, "-", "ext4", "x", "rw"])

    text = "\n".join(
        [line("/mnt", "shared:1"), line("/pods/a", "shared:1"), line("/pods/a/disk", "shared:2"), line("/mnt/disk", "shared:2")]
    )
    assert mounts.twins(text, ["/pods/a/disk", "/pods/a"]) == ["/pods/a"]
    assert mounts.twins(text, ["/pods/a"]) == []
    assert mounts.twins(text, ["/pods/a/disk", "/pods/a", "/mnt/disk", "/mnt"]) == []


def test_an_identity_is_not_that_of_another_process_with_its_number() -> None:
    mine = procfs.Identity.of(os.getpid())
    assert mine is not None
    assert mine.alive
    assert not procfs.Identity(pid=mine.pid, start_time=mine.start_time + 1).alive
    assert procfs.Identity.of(2**22 + 1) is None


def test_inotify_events_come_packed() -> None:
    raw = struct.pack("iIII", 1, inotify.IN_CREATE, 0, 16) + b"name".ljust(16, b"\0") + struct.pack("iIII", 2, inotify.IN_MODIFY, 0, 0)
    assert inotify.parse(raw) == [
        inotify.Change(watch=1, mask=inotify.IN_CREATE, name="name"),
        inotify.Change(watch=2, mask=inotify.IN_MODIFY, name=""),
    ]


def test_a_link_in_a_root_never_leads_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("host's")
    (root / "etc/passwd").symlink_to(tmp_path / "secret")
    (root / "etc/up").symlink_to("../../secret")
    (root / "etc/good").symlink_to("/etc/real")
    (root / "etc/real").write_text("image's")
    assert inroot.read_text(root, "/etc/passwd") == ""
    assert inroot.read_text(root, "/etc/up") == ""
    assert inroot.read_text(root, "/etc/good") == "image's"
    assert inroot.read_text(root, "/etc") == ""
    os.mkfifo(root / "etc/fifo")
    assert inroot.read_text(root, "/etc/fifo") == ""
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(FileNotFoundError):
        inroot.make_folders(root, "/out/made/deep")
    (root / "in").symlink_to("/etc")
    inroot.make_folders(root, "/in/made/deep")
    assert (root / "etc/made/deep").is_dir()
