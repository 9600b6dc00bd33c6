"""Verdicts on the fields of security contexts. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, refused

_APPARMOR = refused("AppArmor profiles are not applied yet")
_CAPABILITIES = "conformance/pods/test_isolation.py::test_capabilities"
_NON_ROOT = "conformance/pods/test_isolation.py::test_non_root"
_SECCOMP = "conformance/pods/test_isolation.py::test_seccomp_and_no_new_privileges"
_SELINUX = refused("SELinux labels are not applied yet")
_SYSCTLS = "conformance/pods/test_isolation.py::test_sysctls"
_USERS = "conformance/pods/test_isolation.py::test_users_and_groups"
_WINDOWS = refused("this machine runs Linux")

TYPES: Types = {
    "Capabilities": {
        "add": honoured(_CAPABILITIES),
        "drop": honoured(_CAPABILITIES),
    },
    "PodSecurityContext": {
        "appArmorProfile": _APPARMOR,
        "fsGroup": honoured("conformance/pods/test_volumes.py::test_volumes_are_given_to_a_group"),
        "fsGroupChangePolicy": honoured("unit/node/test_volume_ownership.py::test_what_is_given_already_can_be_left_alone"),
        "runAsGroup": honoured(_USERS),
        "runAsNonRoot": honoured(_NON_ROOT),
        "runAsUser": honoured(_USERS),
        "seLinuxChangePolicy": _SELINUX,
        "seLinuxOptions": _SELINUX,
        "seccompProfile": honoured(_SECCOMP),
        "supplementalGroups": honoured(_USERS),
        "supplementalGroupsPolicy": honoured("unit/oci/test_users.py::test_a_strict_policy_leaves_the_images_groups_out"),
        "sysctls": honoured(_SYSCTLS),
        "windowsOptions": _WINDOWS,
    },
    "SeccompProfile": {
        "localhostProfile": honoured("unit/runtime/test_spec.py::test_a_local_seccomp_profile_is_read_and_a_missing_one_named"),
        "type": honoured(_SECCOMP),
    },
    "SecurityContext": {
        "allowPrivilegeEscalation": honoured(_SECCOMP),
        "appArmorProfile": _APPARMOR,
        "capabilities": honoured(_CAPABILITIES),
        "privileged": honoured("conformance/pods/test_isolation.py::test_privileged_means_all_this_machine_can_give"),
        "procMount": refused("/proc is always masked", when=lambda value, _: value == "Unmasked", example="Unmasked"),
        "readOnlyRootFilesystem": honoured("conformance/pods/test_isolation.py::test_a_read_only_root"),
        "runAsGroup": honoured(_USERS),
        "runAsNonRoot": honoured(_NON_ROOT),
        "runAsUser": honoured(_USERS),
        "seLinuxOptions": _SELINUX,
        "seccompProfile": honoured(_SECCOMP),
        "windowsOptions": _WINDOWS,
    },
    "Sysctl": {
        "name": honoured(_SYSCTLS),
        "value": honoured(_SYSCTLS),
    },
}
