"""What a Pod's and a container's securityContext ask of the engine. Pure.

Source: kubelet pkg/kubelet/kuberuntime/security_context.go, pkg/securitycontext/util.go; KEP-135 (seccomp), KEP-4265 (procMount).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podspace.kube.json import JSON
from podspace.node.pod import Container, Pod
from podspace.runtime import model


def of_container(pod: Pod, container: Container, *, seccomp_profiles: Path, volume_groups: tuple[int, ...] = ()) -> model.Security:
    """Merge the container's securityContext over the Pod's; the container's wins field by field.

    ``volume_groups``: those that PersistentVolumes say may use them.
    """
    of_pod, own = pod.security, container.security
    capabilities = own.get("capabilities") or {}
    unmasked = () if own.get("procMount") == "Unmasked" else None
    return model.Security(
        uid=_either(own, of_pod, "runAsUser"),
        gid=_either(own, of_pod, "runAsGroup"),
        supplemental_groups=tuple(dict.fromkeys((*_groups(of_pod), *volume_groups))),
        supplemental_groups_policy=of_pod.get("supplementalGroupsPolicy") or "Merge",
        privileged=bool(own.get("privileged")),
        capabilities_add=tuple(_bare(name) for name in capabilities.get("add") or ()),
        capabilities_drop=tuple(_bare(name) for name in capabilities.get("drop") or ()),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        seccomp=_seccomp(own.get("seccompProfile") or of_pod.get("seccompProfile"), seccomp_profiles),
        apparmor=_apparmor(own.get("appArmorProfile") or of_pod.get("appArmorProfile")),
        masked_paths=unmasked,
        readonly_paths=unmasked,
        run_as_non_root=bool(_either(own, of_pod, "runAsNonRoot")),
    )


def _groups(of_pod: Mapping[str, Any]) -> tuple[int, ...]:
    """The volumes' group first, then those the Pod names."""
    group = of_pod.get("fsGroup")
    return (*(() if group is None else (group,)), *(of_pod.get("supplementalGroups") or ()))


def _either(own: Mapping[str, object], of_pod: Mapping[str, object], field: str) -> int | None:
    value = own.get(field) if own.get(field) is not None else of_pod.get(field)
    return value if isinstance(value, int) else None


def _bare(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")


def _seccomp(profile: JSON | None, profiles: Path) -> model.SeccompProfile:
    """Without a word from the Pod: RuntimeDefault (a kubelet with --seccomp-default does the same)."""
    if profile is None:
        return model.SeccompProfile()
    if profile["type"] == "Localhost":
        return model.SeccompProfile(kind="Localhost", localhost_path=profiles / profile["localhostProfile"])
    return model.SeccompProfile(kind=profile["type"])


def _apparmor(profile: JSON | None) -> model.AppArmorProfile:
    return (
        model.AppArmorProfile()
        if profile is None
        else model.AppArmorProfile(kind=profile["type"], name=profile.get("localhostProfile") or "")
    )
