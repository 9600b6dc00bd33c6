"""Where things live, and every number a user may turn: one frozen object, made once by ``cli`` and handed down.

The defaults are those of a system-wide server (``/var/lib/podspace``, ``/run/podspace``, ...). ``--root DIR`` moves all of them
under one folder, so that several servers run side by side on one machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_LISTEN = "127.0.0.1:6443"
CGROUPFS, SYSTEMD = "cgroupfs", "systemd"
CNI_CONF_DIR = Path("/etc/cni/net.d")
CNI_BIN_DIRS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))  # upstream's, Debian's, Fedora's
KUBERNETES_VERSION = "v1.36.0"  # the minor of the API that is served; keep in step with the lightkube-models pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The folders of one server.

    ``run`` is expected on a tmpfs and gone after a reboot, and that is right: it holds what describes live processes.
    """

    lib: Path = Path("/var/lib/podspace")
    log: Path = Path("/var/log/pods")
    run: Path = Path("/run/podspace")
    etc: Path = Path("/etc/podspace")

    @classmethod
    def under(cls, root: Path) -> Paths:
        """Everything below one folder (``--root``)."""
        root = root.absolute()
        return cls(lib=root / "lib", log=root / "log", run=root / "run", etc=root / "etc")

    @property
    def store(self) -> Path:
        return self.lib / "store.db"

    @property
    def images(self) -> Path:
        return self.lib / "images"

    @property
    def pods(self) -> Path:
        """Volumes, etc-hosts, termination logs: ``pods/<uid>/``, the kubelet's layout."""
        return self.lib / "pods"

    @property
    def volumes(self) -> Path:
        """What the claims of class ``local-path`` hold: ``volumes/pvc-<uid>/``."""
        return self.lib / "volumes"

    @property
    def snapshots(self) -> Path:
        """Writable layers of containers: ``containers/<id>/{upper,work}``."""
        return self.lib / "containers"

    @property
    def seccomp(self) -> Path:
        """Seccomp profiles of one's own (``localhostProfile``), as a kubelet's ``seccomp`` below its root."""
        return self.lib / "seccomp"

    @property
    def kubeconfig(self) -> Path:
        return self.etc / "kubeconfig"

    @property
    def certificates(self) -> Path:
        return self.etc / "pki"

    @property
    def api_socket(self) -> Path:
        """The same API as on TCP, for root on this machine, without TLS; named in the kubeconfig for our own client."""
        return self.run / "api.sock"

    @property
    def is_default(self) -> bool:
        return self == Paths()

    @property
    def instance(self) -> str:
        """Eight hex digits that tell this server's bridge, nftables table and cgroups from another's; "" for the default one."""
        if self.is_default:
            return ""
        return hashlib.sha256(str(self.lib).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """How much may lie about: logs of running containers, and images nobody uses. The defaults are a kubelet's."""

    log_max_bytes: int = 10 << 20  # 0 = logs are not rotated
    log_max_files: int = 5  # of one container, the one that is written included
    log_check_seconds: float = 10.0
    image_gc_high_percent: int = 85  # used of the disk: above, images go that no container uses; 100 = never
    image_gc_low_percent: int = 80  # and they go until it is this
    image_gc_check_seconds: float = 300.0
    image_min_age_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``podspace serve`` was told. Sizes in bytes, times in seconds, unless the name says otherwise."""

    paths: Paths = field(default_factory=Paths)
    listen: str = DEFAULT_LISTEN
    node_name: str = ""  # "" = the host's name
    kubeconfig: Path | None = None  # None = paths.kubeconfig
    oci_runtime: str = ""  # "" = crun, else runc; a name on PATH or a path
    runtime_handlers: Mapping[str, str] = field(default_factory=dict)  # name of a RuntimeClass's handler -> as oci_runtime
    registries_conf: Path | None = None  # None = the places of containers-registries.conf(5)
    stop_pods: bool = False  # on the way out take the Pods along
    cri_socket: Path | None = None  # serve the CRI there too
    cgroup_driver: str = CGROUPFS  # for the sandboxes of a kubelet that says where they belong
    max_pods: int = 110  # of this node
    pod_max_pids: int = 0  # processes and threads of one Pod; 0 = no limit
    housekeeping: Housekeeping = Housekeeping()
    network: str = ""  # bridge, cni or auto; "" = auto for Pods of our own, cni for a kubelet's sandboxes
    cni_conf_dir: Path | None = None  # None = CNI_CONF_DIR, which with --root says nothing of Pods of our own
    cni_bin_dirs: tuple[Path, ...] = CNI_BIN_DIRS
    pod_cidr: str = ""  # "" = a free /24 is chosen and kept, and with IPv6 a /64
    allowed_unsafe_sysctls: tuple[str, ...] = ()  # names, and beginnings of names that end in *
    seccomp_profiles: Path | None = None  # the folder of Localhost profiles; None = paths.seccomp
    cluster_dns: tuple[str, ...] = ()  # name servers of ClusterFirst Pods; () = the machine's
    cluster_domain: str = "cluster.local"
    resolv_conf: Path | None = None  # the machine's resolver as Pods get it; None = /etc/resolv.conf, or what a stub there stands for
    bridge: str = ""  # "" = "podspace0", or "ps-<instance>" for a server with --root

    @property
    def cgroup_root(self) -> str:
        """The cgroup all Pods of this server are under, relative to each hierarchy's root."""
        instance = self.paths.instance
        return f"/podspace-{instance}" if instance else "/podspace"

    @property
    def bridge_name(self) -> str:
        """At most 15 characters (IFNAMSIZ)."""
        if self.bridge:
            return self.bridge
        instance = self.paths.instance
        return f"ps-{instance}" if instance else "podspace0"
