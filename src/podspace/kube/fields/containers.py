"""Verdicts on the fields of containers, their ports and their mounts. How to change one: ``verdict``."""

from __future__ import annotations

from collections.abc import Mapping

from podspace.kube.fields.verdict import Types, Verdict, honoured, kept, refused_by_api

_NOT_EPHEMERAL = refused_by_api("cannot be set for an Ephemeral Container")

_CONTAINER: Mapping[str, Verdict] = {
    "args": honoured("conformance/pods/test_environment.py::test_arguments"),
    "command": honoured("conformance/pods/test_lifecycle.py::test_a_program_that_is_not_there_is_told_in_the_runtimes_words"),
    "env": honoured("conformance/pods/test_environment.py::test_variables"),
    "envFrom": honoured("conformance/pods/test_environment.py::test_variables"),
    "image": honoured("conformance/pods/test_lifecycle.py::test_an_image_changed_on_a_running_pod_restarts_that_container_alone"),
    "imagePullPolicy": honoured("conformance/pods/test_images.py::test_pull_policies"),
    "lifecycle": honoured("conformance/pods/test_hooks.py::test_hooks_run_after_the_start_and_before_the_stop"),
    "livenessProbe": honoured("conformance/pods/test_probes.py::test_a_container_that_fails_its_liveness_probe_is_restarted"),
    "name": honoured("conformance/pods/test_lifecycle.py::test_one_failure_among_successes_fails_the_pod"),
    "ports": kept("Every port of a container can be reached; naming them tells readers which there are."),
    "readinessProbe": honoured("conformance/pods/test_probes.py::test_readiness_comes_and_goes_and_restarts_nothing"),
    "resizePolicy": honoured("conformance/pods/test_resize.py::test_what_a_container_is_restarted_for_is_its_policys"),
    "resources": honoured("conformance/pods/test_isolation.py::test_limits_are_the_kernels_and_each_pod_has_its_cgroup"),
    "restartPolicy": honoured("conformance/pods/test_lifecycle.py::test_a_sidecar_does_not_keep_a_pod_from_ending"),
    "restartPolicyRules": honoured("conformance/pods/test_restarts.py::test_rules_by_exit_code_win_over_the_policy"),
    "securityContext": honoured("conformance/pods/test_isolation.py::test_users_and_groups"),
    "startupProbe": honoured("conformance/pods/test_probes.py::test_a_startup_probe_holds_back_the_others"),
    "stdin": honoured("conformance/streams/test_exec_and_attach.py::test_attach_to_a_pipe_passes_input_on"),
    "stdinOnce": honoured(
        "integration/runtime/test_exec_attach.py::test_attach_without_a_terminal_separates_streams_and_closes_stdin_once"
    ),
    "terminationMessagePath": honoured("conformance/pods/test_lifecycle.py::test_last_words_are_shown"),
    "terminationMessagePolicy": honoured("conformance/pods/test_lifecycle.py::test_last_words_are_shown"),
    "tty": honoured("conformance/streams/test_exec_and_attach.py::test_a_terminal_has_the_clients_size_and_follows_it"),
    "volumeDevices": honoured("conformance/pods/test_claims.py::test_a_block_device_is_given_by_a_claim"),
    "volumeMounts": honoured("conformance/pods/test_environment.py::test_volumes_made_of_objects"),
    "workingDir": honoured("conformance/security/test_containers.py::test_a_working_folder_by_way_of_a_descriptor_leads_nowhere"),
}

TYPES: Types = {
    "Container": _CONTAINER,
    "ContainerPort": {
        "containerPort": kept("Every port of a container can be reached from the host and from other Pods."),
        "hostIP": honoured("conformance/pods/test_network.py::test_a_port_of_the_host_leads_to_the_pod"),
        "hostPort": honoured(
            "conformance/pods/test_network.py::test_a_port_of_the_host_leads_to_the_pod",
            "conformance/pods/test_network.py::test_a_port_that_is_taken",
            "integration/network/test_bridge.py::test_a_port_of_the_host_is_reached_from_everywhere",
        ),
        "name": kept("A name for readers, and for what refers to the port by it."),
        "protocol": honoured("integration/network/test_bridge.py::test_ports_of_one_address_and_of_datagrams_and_what_is_taken"),
    },
    "EphemeralContainer": {
        **_CONTAINER,
        "lifecycle": _NOT_EPHEMERAL,
        "livenessProbe": _NOT_EPHEMERAL,
        "ports": _NOT_EPHEMERAL,
        "readinessProbe": _NOT_EPHEMERAL,
        "resizePolicy": _NOT_EPHEMERAL,
        "resources": _NOT_EPHEMERAL,
        "restartPolicy": _NOT_EPHEMERAL,
        "restartPolicyRules": _NOT_EPHEMERAL,
        "startupProbe": _NOT_EPHEMERAL,
        "targetContainerName": honoured("conformance/pods/test_neighbours.py::test_an_ephemeral_container_joins_its_target"),
    },
    "VolumeDevice": {
        "devicePath": honoured("conformance/pods/test_claims.py::test_a_block_device_is_given_by_a_claim"),
        "name": honoured("conformance/pods/test_claims.py::test_a_block_device_is_given_by_a_claim"),
    },
    "VolumeMount": {
        "mountPath": honoured("conformance/pods/test_environment.py::test_volumes_made_of_objects"),
        "mountPropagation": honoured("conformance/security/test_security_contexts.py::test_mounts_are_seen_where_they_should_be"),
        "name": honoured("conformance/pods/test_environment.py::test_volumes_made_of_objects"),
        "readOnly": honoured("integration/runtime/test_security.py::test_volumes_and_read_only_roots"),
        "recursiveReadOnly": honoured("conformance/security/test_security_contexts.py::test_read_only_to_the_bottom"),
        "subPath": honoured(
            "conformance/pods/test_volumes.py::test_a_part_of_a_volume_is_mounted",
            "conformance/pods/test_volumes.py::test_a_symlink_in_a_volume_leads_nowhere_outside_of_it",
        ),
        "subPathExpr": honoured("conformance/pods/test_volumes.py::test_a_part_of_a_volume_is_mounted"),
    },
}
