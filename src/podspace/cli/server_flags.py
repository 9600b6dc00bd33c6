"""The flags that say which server and how it runs, and ``settings.Settings`` made of them. Shared by serve, doctor and image."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

from podspace import settings
from podspace.cli import failure, flags

_HANDLER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PLACE = (
    flags.Flag("root", takes="DIR", help="everything below this folder (default: $PODSPACE_ROOT, else /var/lib, /run and /etc/podspace)"),
    flags.Flag("oci-runtime", takes="NAME", help="crun, runc, or a path (default: crun, else runc)"),
    flags.Flag("runtime-handler", takes="NAME=PROGRAM", many=True, help="the OCI runtime of a RuntimeClass's handler; may be repeated"),
    flags.Flag("registries-conf", takes="FILE", help="containers-registries.conf(5) to use"),
)
NETWORK = (
    flags.Flag(
        "pod-cidr", takes="NETWORKS", help="addresses of Pods: IPv4, or IPv4,IPv6 (default: a free /24 of 10.74.0.0/16, with IPv6 a /64)"
    ),
    flags.Flag(
        "network",
        takes="bridge|cni|auto",
        help="attach Pods to the built-in bridge, by CNI, or by CNI if configured (default: auto; a kubelet's Pods: cni)",
    ),
    flags.Flag("cni-conf-dir", takes="DIR", help="CNI configurations, of which the first counts (default /etc/cni/net.d)"),
    flags.Flag(
        "cni-bin-dir", takes="DIRS", help="CNI plugins, folders with ':' between (default /opt/cni/bin:/usr/lib/cni:/usr/libexec/cni)"
    ),
)

CGROUP_DRIVER = flags.Flag(
    "cgroup-driver",
    takes="NAME",
    default=settings.CGROUPFS,
    help="how the kubelet's Pods get their cgroups: cgroupfs (default) or systemd; a kubelet asks",
)
KUBELET = (  # named and meant as a kubelet's
    flags.Flag("max-pods", takes="N", help="Pods this node runs at the same time (default 110)"),
    flags.Flag("pod-max-pids", takes="N", help="processes and threads one Pod may have (default: no limit)"),
    flags.Flag("container-log-max-size", takes="SIZE", help="a container's log is rotated when it is larger (default 10Mi; 0: never)"),
    flags.Flag("container-log-max-files", takes="N", help="log files kept of one container, at least 2 (default 5)"),
    flags.Flag("container-log-monitor-interval", takes="DURATION", help="how often logs are looked at (default 10s)"),
    flags.Flag("image-gc-high-threshold", takes="PERCENT", help="use of the disk above which unused images go (default 85; 100: never)"),
    flags.Flag("image-gc-low-threshold", takes="PERCENT", help="use of the disk down to which they go (default 80)"),
    flags.Flag("cluster-dns", takes="ADDRESSES", help="name servers of Pods with dnsPolicy ClusterFirst (default: the machine's)"),
    flags.Flag("cluster-domain", takes="DOMAIN", help="domain of Pods' names, searched by those of --cluster-dns (default cluster.local)"),
    flags.Flag("resolv-conf", takes="FILE", help="resolver of Pods that use the machine's (default /etc/resolv.conf)"),
)


def make(options: flags.Options) -> settings.Settings:
    """Settings of the flags given; what is not given has the server's defaults."""
    return settings.Settings(
        paths=paths(options),
        listen=options.text("listen") or settings.DEFAULT_LISTEN,
        node_name=options.text("node-name"),
        kubeconfig=_path(options, "kubeconfig"),
        oci_runtime=options.text("oci-runtime"),
        runtime_handlers=dict(_handler(text, options.command) for text in options.texts("runtime-handler")),
        registries_conf=_path(options, "registries-conf"),
        stop_pods=options.on("stop-pods"),
        max_pods=_number(options, "max-pods", 110),
        pod_max_pids=_number(options, "pod-max-pids", 0),
        housekeeping=_housekeeping(options),
        pod_cidr=options.text("pod-cidr"),
        cluster_dns=_addresses(options, "cluster-dns"),
        cluster_domain=options.text("cluster-domain").strip(".") or "cluster.local",
        resolv_conf=_path(options, "resolv-conf"),
        network=_network(options),
        cni_conf_dir=_path(options, "cni-conf-dir"),
        cni_bin_dirs=tuple(Path(item).absolute() for item in options.text("cni-bin-dir").split(":") if item) or settings.CNI_BIN_DIRS,
        allowed_unsafe_sysctls=tuple(word.strip() for word in options.text("allowed-unsafe-sysctls").split(",") if word.strip()),
        seccomp_profiles=_path(options, "seccomp-profile-root"),
        cri_socket=_path(options, "cri-socket"),
        cgroup_driver=_driver(options),
    )


def _network(options: flags.Options) -> str:
    wanted = options.text("network")
    if wanted not in ("", "auto", "bridge", "cni"):
        raise failure.Usage(f'invalid argument "{wanted}" for "--network" flag: expected bridge, cni or auto', options.command)
    return wanted


def _addresses(options: flags.Options, name: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in options.text(name).split(",") if word.strip())
    for word in words:
        try:
            ipaddress.ip_address(word)
        except ValueError as error:
            raise failure.Usage(f'invalid argument "{word}" for "--{name}" flag: {error}', options.command) from None
    return words


def paths(options: flags.Options) -> settings.Paths:
    root = options.text("root") or os.environ.get("PODSPACE_ROOT", "")
    return settings.Paths.under(Path(root)) if root else settings.Paths()


def _handler(text: str, command: str) -> tuple[str, str]:
    """The name is one a RuntimeClass can have: a DNS label."""
    name, _, program = text.partition("=")
    if not _HANDLER.fullmatch(name) or not program:
        raise failure.Usage(f'invalid argument "{text}" for "--runtime-handler" flag: expected NAME=PROGRAM, NAME a DNS label', command)
    return name, program


def _driver(options: flags.Options) -> str:
    name = options.text("cgroup-driver") or settings.CGROUPFS
    if name not in (settings.CGROUPFS, settings.SYSTEMD):
        raise failure.Usage(f'invalid argument "{name}" for "--cgroup-driver" flag: expected cgroupfs or systemd', options.command)
    return name


def _housekeeping(options: flags.Options) -> settings.Housekeeping:
    """Raises: failure.Usage, in the words of a kubelet's validation."""
    usual = settings.Housekeeping()
    found = settings.Housekeeping(
        log_max_bytes=_size(options, "container-log-max-size", usual.log_max_bytes),
        log_max_files=_number(options, "container-log-max-files", usual.log_max_files),
        log_check_seconds=_interval(options, "container-log-monitor-interval", usual.log_check_seconds),
        image_gc_high_percent=_number(options, "image-gc-high-threshold", usual.image_gc_high_percent),
        image_gc_low_percent=_number(options, "image-gc-low-threshold", usual.image_gc_low_percent),
    )
    if found.log_max_files < 2:
        raise failure.Usage("--container-log-max-files: must be at least 2", options.command)
    for name, percent in (("high", found.image_gc_high_percent), ("low", found.image_gc_low_percent)):
        if percent > 100:
            raise failure.Usage(f"--image-gc-{name}-threshold: must be between 0 and 100, inclusive", options.command)
    if found.image_gc_low_percent >= found.image_gc_high_percent:
        raise failure.Usage("--image-gc-low-threshold: must be less than --image-gc-high-threshold", options.command)
    return found


def _size(options: flags.Options, name: str, default: int) -> int:
    from podspace.kube import quantity

    text = options.text(name)
    if not text:
        return default
    try:
        return max(0, quantity.parse(text).value)
    except ValueError:
        raise failure.Usage(f'invalid argument "{text}" for "--{name}" flag: expected a size such as 10Mi', options.command) from None


def _interval(options: flags.Options, name: str, default: float) -> float:
    if not options.text(name):
        return default
    seconds = options.seconds(name)
    if seconds <= 0:
        raise failure.Usage(f'invalid argument "{options.text(name)}" for "--{name}" flag: expected more than nothing', options.command)
    return seconds


def _number(options: flags.Options, name: str, default: int) -> int:
    """A count; what stands for none is the default."""
    if not options.text(name):
        return default
    number = options.number(name)
    if number < 0:
        raise failure.Usage(f'invalid argument "{number}" for "--{name}" flag: expected 0 or more', options.command)
    return number


def _path(options: flags.Options, name: str) -> Path | None:
    text = options.text(name)
    return Path(text).absolute() if text else None
