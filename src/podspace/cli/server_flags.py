"""The flags that say which server and how it runs, and ``settings.Settings`` made of them. Shared by serve, doctor and image."""

from __future__ import annotations

import os
from pathlib import Path

from podspace import settings
from podspace.cli import failure, flags

PLACE = (
    flags.Flag("root", takes="DIR", help="everything below this folder (default: $PODSPACE_ROOT, else /var/lib, /run and /etc/podspace)"),
    flags.Flag("oci-runtime", takes="NAME", help="crun, runc, or a path (default: crun, else runc)"),
    flags.Flag("registries-conf", takes="FILE", help="containers-registries.conf(5) to use"),
)
POD_CIDR = flags.Flag(
    "pod-cidr", takes="NETWORKS", help="addresses of Pods: IPv4, or IPv4,IPv6 (default: a free /24 of 10.74.0.0/16, with IPv6 a /64)"
)

KUBELET = (  # named and meant as a kubelet's
    flags.Flag("pod-max-pids", takes="N", help="processes and threads one Pod may have (default: no limit)"),
)


def make(options: flags.Options) -> settings.Settings:
    """Settings of the flags given; what is not given has the server's defaults."""
    return settings.Settings(
        paths=paths(options),
        listen=options.text("listen") or settings.DEFAULT_LISTEN,
        node_name=options.text("node-name"),
        kubeconfig=_path(options, "kubeconfig"),
        oci_runtime=options.text("oci-runtime"),
        registries_conf=_path(options, "registries-conf"),
        stop_pods=options.on("stop-pods"),
        pod_max_pids=_number(options, "pod-max-pids", 0),
        pod_cidr=options.text("pod-cidr"),
        cri_socket=_path(options, "cri-socket"),
    )


def paths(options: flags.Options) -> settings.Paths:
    root = options.text("root") or os.environ.get("PODSPACE_ROOT", "")
    return settings.Paths.under(Path(root)) if root else settings.Paths()


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
