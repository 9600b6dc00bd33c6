"""Verdicts on the fields of probes, hooks and restart rules. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured

_HTTP = "conformance/pods/test_probes.py::test_an_http_probe_asks_as_a_kubelet_does"
_EXEC = "conformance/pods/test_probes.py::test_a_container_that_fails_its_liveness_probe_is_restarted"
_TCP = "conformance/pods/test_probes.py::test_a_socket_and_a_named_port_are_probed"
_GRPC = "conformance/pods/test_probes.py::test_a_grpc_service_is_asked_for_its_health"
_THRESHOLDS = "unit/node/test_probes.py::test_a_verdict_needs_as_many_answers_in_a_row_as_its_threshold_says"
_DELAYS = "unit/node/test_probes.py::test_an_answer_counts_after_the_initial_delay"
_RULES = "conformance/pods/test_restarts.py::test_rules_by_exit_code_win_over_the_policy"
_RULES_PURE = "unit/node/test_restart_rules.py::test_the_first_rule_that_fits_decides"
_HOOKS = "conformance/pods/test_hooks.py::test_hooks_run_after_the_start_and_before_the_stop"
_HTTP_HOOK = "conformance/pods/test_hooks.py::test_hooks_by_http"

TYPES: Types = {
    "ContainerRestartRule": {"action": honoured(_RULES), "exitCodes": honoured(_RULES)},
    "ContainerRestartRuleOnExitCodes": {"operator": honoured(_RULES_PURE), "values": honoured(_RULES_PURE)},
    "ExecAction": {"command": honoured(_EXEC, _HOOKS)},
    "GRPCAction": {"port": honoured(_GRPC), "service": honoured(_GRPC)},
    "HTTPGetAction": {
        "host": honoured("unit/node/test_attempts.py::test_where_an_http_probe_goes"),
        "httpHeaders": honoured(_HTTP),
        "path": honoured(_HTTP),
        "port": honoured(_HTTP),
        "scheme": honoured("unit/node/test_attempts.py::test_no_certificate_is_verified"),
    },
    "HTTPHeader": {"name": honoured(_HTTP), "value": honoured(_HTTP)},
    "Lifecycle": {
        "postStart": honoured(_HOOKS, "conformance/pods/test_hooks.py::test_a_container_whose_hook_fails_is_killed"),
        "preStop": honoured(_HOOKS, _HTTP_HOOK),
        "stopSignal": honoured("conformance/pods/test_hooks.py::test_the_stop_signal_is_the_containers_or_the_images"),
    },
    "LifecycleHandler": {
        "exec": honoured(_HOOKS),
        "httpGet": honoured(_HTTP_HOOK),
        "sleep": honoured("conformance/pods/test_hooks.py::test_a_hook_that_sleeps_and_the_grace_it_has"),
        "tcpSocket": honoured("conformance/pods/test_hooks.py::test_a_hook_by_socket_fails_as_it_does_in_a_kubelet"),
    },
    "PodReadinessGate": {"conditionType": honoured("conformance/pods/test_probes.py::test_readiness_gates_wait_for_conditions_of_others")},
    "Probe": {
        "exec": honoured(_EXEC),
        "failureThreshold": honoured(_THRESHOLDS),
        "grpc": honoured(_GRPC),
        "httpGet": honoured(_HTTP),
        "initialDelaySeconds": honoured(_DELAYS),
        "periodSeconds": honoured("unit/node/test_prober.py::test_a_probe_asks_once_a_period"),
        "successThreshold": honoured(_THRESHOLDS),
        "tcpSocket": honoured(_TCP),
        "terminationGracePeriodSeconds": honoured("conformance/pods/test_probes.py::test_a_probe_has_a_grace_of_its_own"),
        "timeoutSeconds": honoured("conformance/pods/test_probes.py::test_a_probe_that_takes_too_long_has_failed"),
    },
    "SleepAction": {"seconds": honoured("conformance/pods/test_hooks.py::test_a_hook_that_sleeps_and_the_grace_it_has")},
    "TCPSocketAction": {"host": honoured("unit/node/test_attempts.py::test_a_socket_is_open_or_not"), "port": honoured(_TCP)},
}
