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


_GAME = {"player_initial_lives": "3", "ui_properties_file_name": "ui", "game.properties": "lives=3", "user-interface.properties": "c=1"}

OBJECTS: Mapping[str, Manifest] = {
    "env-config": _config_map("env-config", log_level="INFO"),
    "envfrom-configmap": _config_map("envfrom-configmap", SERVER="a"),
    "example-redis-config": _config_map("example-redis-config", **{"redis-config": ""}),
    "expandable-pvc": _claim("expandable-pvc", "1Gi"),
    "fluentd-config": _config_map("fluentd-config", **{"fluentd.conf": "<match **>\n</match>"}),
    "game-demo": _config_map("game-demo", **_GAME),
    "myconfigmap": _config_map("myconfigmap", username="k8s-admin", access_level="1", config="c"),
    "mysecret": _secret("mysecret", username="u", password="p"),
    "mysecret2": _secret("mysecret2", username="u", password="p"),
    "pass": _secret("pass", password="p"),
    "special-config": _config_map("special-config", SPECIAL_LEVEL="very", SPECIAL_TYPE="charm"),
    "special-how": _config_map("special-config", **{"special.how": "very"}),
    "task-pv-claim": _claim("task-pv-claim", "3Gi"),
    "test-secret": _secret("test-secret", username="my-app", password="39528$vdg7Jb"),
    "user": _secret("user", username="admin"),
}
