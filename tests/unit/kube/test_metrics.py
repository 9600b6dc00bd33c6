"""Readings become rates, rates become what ``kubectl top`` reads."""

from __future__ import annotations

from podspace.kube import metrics
from podspace.kube.metrics import Reading

SECOND = 1_000_000_000
POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}, "annotations": {"c": "d"}}}


def reading(identifier: str, at: float, *, spent: float, since: float = 0, memory: int = 1 << 20) -> Reading:
    return Reading(
        id=identifier, nanos=int(at * SECOND), since_nanos=int(since * SECOND), cpu_nanos=int(spent * SECOND), memory_bytes=memory
    )


def test_cpu_is_what_was_spent_in_a_second_and_memory_is_of_now() -> None:
    used = metrics.usage(reading("c", 10, spent=4), reading("c", 12, spent=4.5, memory=34444 * 1024))
    assert used == {"cpu": "250m", "memory": "34444Ki"}
    assert metrics.usage(reading("c", 10, spent=0), reading("c", 13, spent=0.001))["cpu"] == "333333n"


def test_another_instance_is_measured_from_its_start() -> None:
    assert metrics.usage(reading("old", 10, spent=100), reading("new", 14, spent=1, since=12))["cpu"] == "500m"
    assert metrics.usage(None, reading("new", 14, spent=1, since=12))["cpu"] == "500m"


def test_what_idles_uses_nothing_and_a_counter_put_back_is_no_debt() -> None:
    assert metrics.usage(reading("c", 1, spent=5), reading("c", 2, spent=5))["cpu"] == "0"
    assert metrics.usage(reading("c", 1, spent=5), reading("c", 2, spent=4))["cpu"] == "0"


def test_a_pods_metrics_carry_its_name_and_labels_the_moment_and_the_window() -> None:
    told = metrics.of_pod(POD, {"c": {"cpu": "1m", "memory": "1Mi"}}, now=0.0, window_seconds=15.08)
    assert told == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}, "creationTimestamp": "1970-01-01T00:00:00Z"},
        "timestamp": "1970-01-01T00:00:00Z",
        "window": "15.08s",
        "containers": [{"name": "c", "usage": {"cpu": "1m", "memory": "1Mi"}}],
    }
    assert metrics.of_node(POD, {"cpu": "1"}, now=0.0, window_seconds=2.0)["window"] == "2s"


def test_the_kubelets_summary_has_counters_and_rates() -> None:
    told = metrics.stats(reading("c", 10, spent=4), reading("c", 12, spent=5, since=2), now=20.0)
    assert told == {
        "startTime": "1970-01-01T00:00:10Z",
        "cpu": {"time": "1970-01-01T00:00:20Z", "usageNanoCores": 500_000_000, "usageCoreNanoSeconds": 5_000_000_000},
        "memory": {"time": "1970-01-01T00:00:20Z", "workingSetBytes": 1 << 20},
    }
    whole = metrics.summary("here", told, [(POD, {"a": told})])
    assert whole["node"] == {"nodeName": "here", **told}
    assert whole["pods"] == [
        {"podRef": {"name": "p", "namespace": "n", "uid": "u"}, "startTime": None, "containers": [{"name": "a", **told}]}
    ]
