"""Verdicts on the fields of security contexts. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, kept, refused

_APPARMOR = "conformance/security/test_security_contexts.py::test_apparmor_is_applied_or_refused_in_a_kubelets_words"
_CAPABILITIES = "conformance/pods/test_isolation.py::test_capabilities"
_NON_ROOT = "conformance/pods/test_isolation.py::test_non_root"
_SECCOMP = "conformance/pods/test_isolation.py::test_seccomp_and_no_new_privileges"
_SELINUX = "podspace labels nothing for SELinux"
_LABELS = kept("Nothing is labelled; what would keep the container apart from others is refused, field by field.")
_SYSCTLS = "conformance/pods/test_isolation.py::test_sysctls"
_USERS = "conformance/pods/test_isolation.py::test_users_and_groups"
_LINUX = kept("Said to Windows containers; one for Linux has nothing of it, as under a kubelet on Linux.")

TYPES: Types = {
    "AppArmorProfile": {
        "localhostProfile": honoured("unit/runtime/test_spec.py::test_an_apparmor_profile_is_passed_on_if_it_is_loaded"),
        "type": honoured(_APPARMOR),
    },
    "Capabilities": {
        "add": honoured(_CAPABILITIES),
        "drop": honoured(_CAPABILITIES),
    },
    "PodSecurityContext": {
        "appArmorProfile": honoured(_APPARMOR),
        "fsGroup": honoured("conformance/pods/test_volumes.py::test_volumes_are_given_to_a_group"),
        "fsGroupChangePolicy": honoured("unit/node/test_volume_ownership.py::test_what_is_given_already_can_be_left_alone"),
        "runAsGroup": honoured(_USERS),
        "runAsNonRoot": honoured(_NON_ROOT),
        "runAsUser": honoured(_USERS),
        "seLinuxChangePolicy": kept("Volumes get no SELinux labels, by neither way."),
        "seLinuxOptions": _LABELS,
        "seccompProfile": honoured(_SECCOMP),
        "supplementalGroups": honoured(_USERS),
        "supplementalGroupsPolicy": honoured("integration/runtime/test_security.py::test_a_strict_policy_leaves_the_images_groups_out"),
        "sysctls": honoured(_SYSCTLS, "conformance/security/test_security_contexts.py::test_unsafe_sysctls_that_are_allowed"),
        "windowsOptions": _LINUX,
    },
    "SELinuxOptions": {
        "level": kept(
            "s0 is the level that everything has which is told none",
            but=refused(_SELINUX, when=lambda level, _: level != "s0", example="s0:c1,c2"),
        ),
        "role": refused(_SELINUX),
        "type": refused(_SELINUX),
        "user": refused(_SELINUX),
    },
    "SeccompProfile": {
        "localhostProfile": honoured("conformance/security/test_security_contexts.py::test_a_seccomp_profile_of_ones_own"),
        "type": honoured(_SECCOMP),
    },
    "SecurityContext": {
        "allowPrivilegeEscalation": honoured(_SECCOMP),
        "appArmorProfile": honoured(_APPARMOR),
        "capabilities": honoured(_CAPABILITIES),
        "privileged": honoured("conformance/pods/test_isolation.py::test_privileged_means_all_this_machine_can_give"),
        "procMount": honoured("conformance/security/test_user_namespaces.py::test_an_unmasked_proc"),
        "readOnlyRootFilesystem": honoured("conformance/pods/test_isolation.py::test_a_read_only_root"),
        "runAsGroup": honoured(_USERS),
        "runAsNonRoot": honoured(_NON_ROOT),
        "runAsUser": honoured(_USERS),
        "seLinuxOptions": _LABELS,
        "seccompProfile": honoured(_SECCOMP),
        "windowsOptions": _LINUX,
    },
    "Sysctl": {
        "name": honoured(_SYSCTLS),
        "value": honoured(_SYSCTLS),
    },
    "WindowsSecurityContextOptions": {
        "gmsaCredentialSpec": _LINUX,
        "gmsaCredentialSpecName": _LINUX,
        "hostProcess": _LINUX,
        "runAsUserName": _LINUX,
    },
}
