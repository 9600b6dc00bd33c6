"""The AppArmor profile of a container that asks for ``RuntimeDefault``, on machines whose kernel has AppArmor.

It grants what a container is for and denies, whatever uid 0 may, the machine's own switches and new mounts; what else holds a container are
capabilities, seccomp, masked paths and namespaces. Loaded when first asked for, by apparmor_parser(8), and left loaded: containers outlive
the server. Called by ``runtime`` in a thread. Source: apparmor.d(5).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from podspace import errors
from podspace.linux import apparmor

NAME = "podspace-default"
TEXT = f"""\
#include <tunables/global>

profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  #include <abstractions/base>

  network,
  capability,
  file,
  umount,
  deny mount,

  # the server, conmon and the OCI runtime stop containers; containers of one Pod may share a process namespace
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
  signal (send, receive) peer={NAME},
  ptrace (trace, read, tracedby, readby) peer={NAME},

  deny @{{PROC}}/{{kcore,kmem,mem,sysrq-trigger,timer_list}} rwklx,
  deny @{{PROC}}/{{acpi,bus,fs,irq,scsi}}/** wklx,
  deny @{{PROC}}/sys/{{abi,debug,dev,vm}}/** wklx,
  deny @{{PROC}}/sys/kernel/{{core_pattern,hotplug,kexec_load_disabled,modprobe,panic,perf_event_*,poweroff_cmd,sysrq,yama/**}} wklx,
  deny /sys/{{block,bus,dev,devices,firmware,fs/bpf,hypervisor,module,power}}/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/** wklx,
  deny /sys/kernel/{{debug,security,tracing}}/** rwklx,
}}
"""


def ensure(folder: Path) -> None:
    """Load it if it is not. ``folder``: for the file. Raises: Unsupported, ToolError, OSError."""
    if not apparmor.is_enabled() or apparmor.is_loaded(NAME):
        return
    program = shutil.which("apparmor_parser") or shutil.which("apparmor_parser", path="/sbin:/usr/sbin")
    if program is None:
        raise errors.Unsupported(
            "apparmor_parser is not there to load the default profile; install it (Debian, Ubuntu: apt install apparmor)"
        )
    file = folder / f"{NAME}.apparmor"
    file.write_text(TEXT)
    argv = [program, "--replace", "--skip-cache", str(file)]
    done = subprocess.run(argv, capture_output=True, check=False, cwd="/")
    if done.returncode != 0:
        raise errors.ToolError(argv, done.returncode, done.stderr.decode(errors="replace"))
