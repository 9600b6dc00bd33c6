"""What this machine and this process can do, looked up once: the facts an OCI spec depends on.

Called by the engine at start. Tests make one by hand.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podspace.linux import apparmor, cgroups, procfs
from podspace.oci import capabilities, seccomp_bpf, seccomp_default


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """``capabilities``: what can be given to a container. ``oom_score_adj``: ours; lower values are refused without CAP_SYS_RESOURCE.

    ``controllers``: those of cgroup v2 that can be used.
    """

    architecture: str
    cgroup_version: int
    capabilities: tuple[str, ...]
    oom_score_adj: int = 0
    swap_limits: bool = False
    compiled_seccomp: bool = False  # the OCI runtime takes a compiled seccomp filter (crun)
    infers_mappings: bool = False  # the OCI runtime needs no telling of the mappings of a user namespace that is joined (crun)
    apparmor: bool = False  # the kernel confines by AppArmor profiles
    controllers: tuple[str, ...] = ()
    hugetlb: bool = True  # huge pages are counted by cgroup
    masked_paths: tuple[str, ...] = ()  # of this machine, beside those of every machine

    def oom_score(self, wanted: int) -> int:
        """The value nearest to ``wanted`` that the kernel lets us set."""
        return wanted if "CAP_SYS_RESOURCE" in self.capabilities else max(wanted, self.oom_score_adj)

    def has_apparmor_profile(self, name: str) -> bool:
        """Whether it is loaded now. Raises: OSError."""
        return apparmor.is_loaded(name)


def look(cgroup_version: int, *, is_crun: bool) -> Machine:
    """Look at the machine. ``is_crun``: the OCI runtime is."""
    found = Machine(
        architecture=os.uname().machine,
        cgroup_version=cgroup_version,
        capabilities=capabilities.of_mask(procfs.capabilities("CapBnd")),
        oom_score_adj=int(Path("/proc/self/oom_score_adj").read_text()),
        swap_limits=swap_limits(cgroup_version),
        controllers=tuple(cgroups.usable_controllers()) if cgroup_version == 2 else (),
        hugetlb=(cgroups.ROOT / "hugetlb").is_dir() if cgroup_version == 1 else "hugetlb" in cgroups.usable_controllers(),
        masked_paths=_thermal_counters(),
        apparmor=apparmor.is_enabled(),
    )
    return under(found, is_crun=is_crun)


def under(here: Machine, *, is_crun: bool) -> Machine:
    """The same machine with this OCI runtime."""
    if here.compiled_seccomp == here.infers_mappings == is_crun:
        return here
    return dataclasses.replace(here, compiled_seccomp=is_crun, infers_mappings=is_crun)


def _thermal_counters() -> tuple[str, ...]:
    """They tell what neighbours compute. Source: moby, default masked paths."""
    return tuple(sorted(map(str, Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle"))))


def swap_limits(cgroup_version: int, root: Path = cgroups.ROOT, proc: Path = Path("/proc")) -> bool:
    """Whether the kernel limits swap by cgroup. The root of v2 shows no limits, and nothing below it does before somebody uses memory."""
    if cgroup_version == 1:
        return (root / "memory/memory.memsw.limit_in_bytes").exists()
    if any(root.glob("*/memory.max")):
        return any(root.glob("*/memory.swap.max"))
    return (proc / "swaps").exists() and "swapaccount=0" not in (proc / "cmdline").read_text().split()


def default_seccomp(here: Machine, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """``linux.seccomp`` for these capabilities, and the annotations that go with it."""
    profile = seccomp_default.profile(names, here.architecture)
    compiled = seccomp_bpf.compiled(names, here.architecture) if here.compiled_seccomp else ""
    return profile, {seccomp_bpf.ANNOTATION: compiled} if compiled else {}
