"""Whom a Pod must be with and whom it must not, where everybody is on one node."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import pod_affinity

NODE: dict[str, Any] = {"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}}
HOST = "kubernetes.io/hostname"


def term(labels: dict[str, str] | None, key: str = HOST, **more: Any) -> dict[str, Any]:
    return {"labelSelector": None if labels is None else {"matchLabels": labels}, "topologyKey": key} | more


def pod(namespace: str = "default", labels: dict[str, str] | None = None, **rules: list[dict[str, Any]]) -> dict[str, Any]:
    affinity = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms} for kind, terms in rules.items()}
    return {"metadata": {"name": "p", "namespace": namespace, "labels": labels or {}}, "spec": {"affinity": affinity}}


WEB = {"app": "web"}
web = pod(labels=WEB)


@pytest.mark.parametrize(
    ("wanted", "others", "words"),
    [
        (pod(podAffinity=[term(WEB)]), [web], ""),
        (pod(podAffinity=[term(WEB)]), [], pod_affinity.NOT_NEAR),
        (pod(labels=WEB, podAffinity=[term(WEB)]), [], ""),  # the first of a group
        (pod(podAffinity=[term(WEB, key="zone")]), [web], pod_affinity.NOT_NEAR),
        (pod(podAffinity=[term(None)]), [web], pod_affinity.NOT_NEAR),
        (pod(podAntiAffinity=[term(WEB)]), [web], pod_affinity.TOO_NEAR),
        (pod(podAntiAffinity=[term(WEB)]), [], ""),
        (pod(podAntiAffinity=[term(WEB, key="zone")]), [web], ""),
        (web, [pod(podAntiAffinity=[term(WEB)])], pod_affinity.KEEPS_AWAY),
        (pod(podAntiAffinity=[term(WEB)]), [pod("other", WEB)], ""),
        (pod(podAntiAffinity=[term(WEB, namespaces=["other"])]), [pod("other", WEB)], pod_affinity.TOO_NEAR),
        (pod(podAntiAffinity=[term(WEB, namespaceSelector={})]), [pod("other", WEB)], pod_affinity.TOO_NEAR),
        (pod(podAntiAffinity=[term(WEB, namespaceSelector={"matchLabels": {"team": "b"}})]), [pod("other", WEB)], ""),
        (pod(labels={"v": "1"}, podAntiAffinity=[term({}, matchLabelKeys=["v"])]), [pod(labels={"v": "2"})], ""),
        (pod(labels={"v": "1"}, podAntiAffinity=[term({}, mismatchLabelKeys=["v"])]), [pod(labels={"v": "2"})], pod_affinity.TOO_NEAR),
    ],
)
def test_affinity_to_others_is_about_this_node(wanted: dict[str, Any], others: list[dict[str, Any]], words: str) -> None:
    assert pod_affinity.violated(wanted, NODE, others, lambda: {"other": {"team": "a"}, "default": {}}) == words
