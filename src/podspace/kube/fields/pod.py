"""Verdicts on the fields of PodSpec. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, kept, refused

TYPES: Types = {
    "PodSpec": {
        "activeDeadlineSeconds": honoured("conformance/pods/test_restarts.py::test_a_pod_that_takes_too_long_has_failed"),
        "affinity": honoured("conformance/pods/test_scheduling.py::test_why_a_pod_is_not_run_is_said_in_the_schedulers_words"),
        "automountServiceAccountToken": honoured("unit/kube/test_defaults.py::test_automount_can_be_refused"),
        "containers": honoured("conformance/pods/test_lifecycle.py::test_one_failure_among_successes_fails_the_pod"),
        "dnsConfig": honoured("conformance/pods/test_environment.py::test_resolvers"),
        "dnsPolicy": honoured(
            "conformance/pods/test_environment.py::test_resolvers", "conformance/pods/test_network.py::test_the_name_servers_of_a_cluster"
        ),
        "enableServiceLinks": honoured("conformance/pods/test_environment.py::test_services_are_told_as_variables_unless_links_are_off"),
        "ephemeralContainers": honoured("conformance/pods/test_neighbours.py::test_an_ephemeral_container_joins_its_target"),
        "hostAliases": honoured("conformance/pods/test_environment.py::test_names_and_hosts"),
        "hostIPC": honoured("conformance/pods/test_isolation.py::test_namespaces_of_the_host"),
        "hostNetwork": honoured("conformance/pods/test_environment.py::test_the_hosts_network"),
        "hostPID": honoured("conformance/pods/test_isolation.py::test_namespaces_of_the_host"),
        "hostUsers": honoured("conformance/security/test_user_namespaces.py::test_root_of_the_pod_is_nobody_on_the_machine"),
        "hostname": honoured("conformance/pods/test_environment.py::test_names_and_hosts"),
        "hostnameOverride": honoured("conformance/pods/test_network.py::test_an_overridden_host_name"),
        "imagePullSecrets": honoured("conformance/pods/test_images.py::test_a_registry_that_wants_a_password"),
        "initContainers": honoured("conformance/pods/test_lifecycle.py::test_init_containers_run_in_order"),
        "nodeName": honoured("conformance/pods/test_lifecycle.py::test_a_pod_bound_by_hand_is_refused_if_it_needs_what_is_not_done"),
        "nodeSelector": honoured("conformance/pods/test_scheduling.py::test_why_a_pod_is_not_run_is_said_in_the_schedulers_words"),
        "os": honoured("conformance/pods/test_scheduling.py::test_another_operating_system_is_not_this_nodes"),
        "overhead": honoured("conformance/pods/test_classes.py::test_a_runtime_class_brings_its_handler_overhead_and_place"),
        "preemptionPolicy": kept("No Pod is evicted to make room for another, whatever their priorities."),
        "priority": honoured("unit/node/test_scheduler.py::test_those_of_higher_priority_come_first_then_those_that_have_waited_longest"),
        "priorityClassName": honoured("conformance/pods/test_classes.py::test_a_priority_class_gives_its_number"),
        "readinessGates": honoured("conformance/pods/test_probes.py::test_readiness_gates_wait_for_conditions_of_others"),
        "resourceClaims": refused("there is no dynamic resource allocation"),
        "resources": honoured(
            "conformance/pods/test_resources.py::test_resources_of_a_whole_pod_are_its_cgroups_and_of_containers_without_their_own"
        ),
        "restartPolicy": honoured("conformance/pods/test_lifecycle.py::test_a_container_that_is_restarted_backs_off_and_its_pod_runs"),
        "runtimeClassName": honoured("conformance/pods/test_classes.py::test_a_runtime_class_brings_its_handler_overhead_and_place"),
        "schedulerName": honoured("conformance/pods/test_lifecycle.py::test_a_pod_for_another_scheduler_waits_and_says_so"),
        "schedulingGates": honoured("conformance/pods/test_scheduling.py::test_gates_hold_a_pod_back"),
        "schedulingGroup": refused("there are no groups of Pods that are scheduled together"),
        "securityContext": honoured("conformance/pods/test_isolation.py::test_users_and_groups"),
        "serviceAccount": honoured("unit/kube/test_defaults.py::test_the_deprecated_service_account_field_mirrors_the_new_one"),
        "serviceAccountName": honoured("conformance/pods/test_environment.py::test_variables"),
        "setHostnameAsFQDN": honoured("conformance/pods/test_environment.py::test_names_and_hosts"),
        "shareProcessNamespace": honoured(
            "conformance/page/test_shared_namespace.py::test_pause_is_pid_one_and_every_process_of_the_pod_is_seen"
        ),
        "subdomain": honoured("conformance/pods/test_environment.py::test_names_and_hosts"),
        "terminationGracePeriodSeconds": honoured(
            "conformance/page/test_lives_and_deaths.py::test_deleting_waits_for_the_grace_period_and_not_longer"
        ),
        "tolerations": honoured("conformance/pods/test_scheduling.py::test_a_taint_of_the_node_takes_the_pods_that_do_not_bear_it"),
        "topologySpreadConstraints": honoured("unit/node/test_topology_spread.py::test_one_domain_is_even_unless_more_are_asked_for"),
        "volumes": honoured("conformance/pods/test_environment.py::test_volumes_made_of_objects"),
    },
}
