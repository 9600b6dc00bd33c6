"""Before the engine: the view of the mounts it needs on this machine. Called by the daemon while it is single-threaded."""

from __future__ import annotations

import dataclasses
import logging
import shutil

from podspace import settings
from podspace.linux import cgroups, mounts, mountview
from podspace.oci import runtimes
from podspace.runtime import layout, recover

log = logging.getLogger(__name__)


def needs_private_view(config: settings.Settings) -> bool:
    """Only crun minds a hybrid machine."""
    return cgroups.mode(mounts.table()) is cgroups.Mode.HYBRID and "crun" in runtimes.find(config.oci_runtime).name


def enter(config: settings.Settings) -> bool:
    """Enter a private view if one is needed: that of our living conmons, else a new one. Return whether.

    Call before any thread or event loop is there. Raises: OSError, Unsupported.
    """
    if not needs_private_view(config):
        return False
    living = recover.supervisors(layout.Layout(config.paths).exits)
    mountview.enter_private_view(living.values())
    log.info("cgroups are hybrid: working in a mount namespace of our own, without %s", cgroups.UNIFIED)
    return True


def choose_runtime(config: settings.Settings) -> settings.Settings:
    """Settle which OCI runtime is used where nobody says: the one whose containers run already, else one that fits.

    Under a kubelet that is one that needs no private view: the kubelet mounts volumes while we run, and containers must see them.
    """
    note = config.paths.run / "oci-runtime"
    chosen = config.oci_runtime
    if not chosen and layout.holds_sandboxes(config.paths):
        chosen = layout.read_line(note)
    if not chosen and config.cri_socket is not None and needs_private_view(config) and shutil.which("runc"):
        log.info("cgroups are hybrid, which crun takes only in a mount namespace of its own: using runc for the kubelet's sake")
        chosen = "runc"
    layout.write_text(note, f"{chosen or runtimes.find().name}\n")
    return dataclasses.replace(config, oci_runtime=chosen)
