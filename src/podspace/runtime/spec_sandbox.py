"""The OCI spec of a sandbox's /pause, and the files its containers share. Pure but for a look at a local seccomp profile.

/pause holds the namespaces, reaps orphans and does nothing else; it has no capability and a root with nothing in it.
Called by ``sandbox_run``. Source: OCI runtime-spec config-linux.md; resolv.conf(5), hosts(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from podspace.linux import idmap
from podspace.oci import capabilities, defaults
from podspace.runtime import machine, model, spec_seccomp

ARGUMENTS = ("/pause", "-P")
SHM_BYTES = 64 << 20
_OOM_SCORE_ADJ = -998  # as a kubelet has it: the last to be killed for memory


def build(
    config: model.SandboxConfig,
    here: machine.Machine,
    *,
    rootfs: Path,
    program: Path,
    hostname: str,
    cgroup: str,
    netns: str = "",
) -> dict[str, Any]:
    """Return config.json. ``netns``: the path of one that is there already, with the sysctls of the network set."""
    seccomp, annotations = spec_seccomp.profile(config.pause.seccomp, (), here)
    spec: dict[str, Any] = {
        "ociVersion": defaults.VERSION,
        "process": {
            "user": {"uid": config.pause.uid, "gid": config.pause.gid, "additionalGids": list(config.pause.supplemental_groups)},
            "args": list(ARGUMENTS),
            "env": [f"PATH={defaults.PATH}"],
            "cwd": "/",
            "capabilities": capabilities.oci(()),
            "noNewPrivileges": True,
            "oomScoreAdj": here.oom_score(_OOM_SCORE_ADJ),
        },
        "annotations": annotations,
        "root": {"path": str(rootfs), "readonly": True},
        "mounts": [
            defaults.mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
            defaults.mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=64k"),
            defaults.bind(str(program), "/pause", "bind", "ro", "nosuid", "nodev"),
        ],
        "linux": {
            "namespaces": _namespaces(config, here, netns),
            "cgroupsPath": cgroup,
            "resources": {"devices": defaults.device_rules(privileged=False)},
            "maskedPaths": list(defaults.MASKED_PATHS),
            "readonlyPaths": list(defaults.READONLY_PATHS),
            **({"seccomp": seccomp} if seccomp else {}),
            "sysctl": {name: value for name, value in sysctls(config).items() if not (netns and is_of_network(name))},
            **id_mappings(config.user_namespace),
        },
    }
    if config.network is not model.NamespaceMode.NODE:
        spec["hostname"] = hostname
    return spec


def _namespaces(config: model.SandboxConfig, here: machine.Machine, netns: str) -> list[dict[str, str]]:
    kinds = ["mount"] if config.user_namespace is None else ["user", "mount"]
    if config.pid is not model.NamespaceMode.NODE:
        kinds.append("pid")
    if config.network is not model.NamespaceMode.NODE:
        kinds += ["network", "uts"]
    if config.ipc is not model.NamespaceMode.NODE:
        kinds.append("ipc")
    if here.cgroup_version == 2:
        kinds.append("cgroup")
    return [{"type": kind, "path": netns} if kind == "network" and netns else {"type": kind} for kind in kinds]


def sysctls(config: model.SandboxConfig) -> dict[str, str]:
    """As containerd 2 has it, whoever a container runs as may listen on any port of the sandbox and ping from it."""
    if config.network is model.NamespaceMode.NODE:
        return dict(config.sysctls)
    groups = config.user_namespace.gids if config.user_namespace else ()
    last = groups[0].inside + groups[0].length - 1 if groups else 2**31 - 1
    usual = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": f"0 {last}"}
    return usual | dict(config.sysctls)


def is_of_network(sysctl: str) -> bool:
    """Whether it is the netns' own."""
    return sysctl.startswith(("net.", "net/"))


def sysctl_file(name: str) -> Path:
    """Separated by dots or slashes, and the other one, if there is any, is its opposite. Source: sysctl.d(5)."""
    first = next((char for char in name if char in "./"), "/")
    return Path("/proc/sys", name if first == "/" else name.translate(str.maketrans("./", "/.")))


def id_mappings(wanted: idmap.IdMap | None) -> dict[str, Any]:
    """``linux.uidMappings`` and ``linux.gidMappings``."""
    if wanted is None:
        return {}
    return {"uidMappings": _mappings(wanted.uids), "gidMappings": _mappings(wanted.gids)}


def _mappings(ranges: Sequence[idmap.Range]) -> list[dict[str, int]]:
    return [{"containerID": entry.inside, "hostID": entry.outside, "size": entry.length} for entry in ranges]


def resolv_conf(dns: model.DnsConfig, of_host: str) -> str:
    """Text of /etc/resolv.conf: what was asked for, or the host's."""
    if not (dns.servers or dns.searches or dns.options):
        return of_host
    lines = [f"search {' '.join(dns.searches)}"] if dns.searches else []
    lines += [f"nameserver {server}" for server in dns.servers]
    lines += [f"options {' '.join(dns.options)}"] if dns.options else []
    return "\n".join(lines) + "\n"


def hosts(hostname: str, ips: Sequence[str]) -> str:
    """Text of /etc/hosts in a network of its own."""
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    return "\n".join([*lines, *(f"{ip}\t{hostname}" for ip in ips)]) + "\n"
