"""What the pages of the examples make before their Pods: by name, as manifests without a namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]


def _config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _secret(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _claim(name: str, size: str, **spec: str) -> Manifest:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def _limits(name: str, kind: str = "Container", **limits: Mapping[str, str]) -> Manifest:
    wanted = {"limits": [{"type": kind} | limits]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name.replace(" ", "-")}, "spec": wanted}


def _quota(name: str, **hard: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}}


_QUOTA = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "2Gi"}
_GAME = {"player_initial_lives": "3", "ui_properties_file_name": "ui", "game.properties": "lives=3", "user-interface.properties": "c=1"}

OBJECTS: Mapping[str, Manifest] = {
    "cpu bounds": _limits("cpu bounds", max={"cpu": "800m"}, min={"cpu": "200m"}),
    "cpu defaults": _limits("cpu defaults", default={"cpu": "1"}, defaultRequest={"cpu": "0.5"}),
    "cpu of half a core": _limits(
        "cpu of half a core", default={"cpu": "500m"}, defaultRequest={"cpu": "500m"}, max={"cpu": "1"}, min={"cpu": "100m"}
    ),
    "container bounds": _limits(
        "container bounds",
        max={"cpu": "800m", "memory": "1Gi"},
        min={"cpu": "100m", "memory": "99Mi"},
        default={"cpu": "700m", "memory": "900Mi"},
        defaultRequest={"cpu": "110m", "memory": "111Mi"},
    ),
    "env-config": _config_map("env-config", log_level="INFO"),
    "envfrom-configmap": _config_map("envfrom-configmap", SERVER="a"),
    "example-redis-config": _config_map("example-redis-config", **{"redis-config": ""}),
    "expandable-pvc": _claim("expandable-pvc", "1Gi"),
    "fluentd-config": _config_map("fluentd-config", **{"fluentd.conf": "<match **>\n</match>"}),
    "game-demo": _config_map("game-demo", **_GAME),
    "high": {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000000},
    "memory bounds": _limits("memory bounds", max={"memory": "1Gi"}, min={"memory": "500Mi"}),
    "memory defaults": _limits("memory defaults", default={"memory": "512Mi"}, defaultRequest={"memory": "256Mi"}),
    "memory ratio": _limits("memory ratio", "Pod", maxLimitRequestRatio={"memory": "2"}),
    "myconfigmap": _config_map("myconfigmap", username="k8s-admin", access_level="1", config="c"),
    "mysecret": _secret("mysecret", username="u", password="p"),
    "mysecret2": _secret("mysecret2", username="u", password="p"),
    "pass": _secret("pass", password="p"),
    "pod bounds": _limits("pod bounds", "Pod", max={"cpu": "2", "memory": "2Gi"}),
    "quota": _quota("mem-cpu-demo", **_QUOTA),
    "special-config": _config_map("special-config", SPECIAL_LEVEL="very", SPECIAL_TYPE="charm"),
    "special-how": _config_map("special-config", **{"special.how": "very"}),
    "task-pv-claim": _claim("task-pv-claim", "3Gi"),
    "test-secret": _secret("test-secret", username="my-app", password="39528$vdg7Jb"),
    "user": _secret("user", username="admin"),
}
