from __future__ import annotations

from typing import Any

import pytest

from podspace.node import storage_limits
from podspace.node.storage_limits import Limits, Usage

MI = 1 << 20


def container(name: str, limit: str | None = None) -> dict[str, Any]:
    return {"name": name, "resources": {"limits": {"ephemeral-storage": limit}} if limit else {}}


def test_limits_are_read_from_volumes_and_containers() -> None:
    volumes = [
        {"name": "disk", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "memory", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}},
        {"name": "free", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "c"}},
    ]
    spec = {"containers": [container("a", "2Mi"), container("b", "3Mi"), container("c")], "volumes": volumes}
    assert storage_limits.of(spec) == Limits(volumes={"disk": MI}, containers={"a": 2 * MI, "b": 3 * MI}, pod=5 * MI)
    assert not storage_limits.of({"containers": [container("a")], "volumes": volumes[1:]})


@pytest.mark.parametrize(
    ("limits", "usage", "words"),
    [
        (Limits(volumes={"v": MI}), Usage(volumes={"v": MI}), None),
        (Limits(volumes={"v": MI}), Usage(volumes={"v": MI + 1}), 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        (
            Limits(containers={"a": MI}, pod=MI),
            Usage(containers={"a": MI}, volumes={"v": 1}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (
            Limits(containers={"a": MI}, pod=9 * MI),
            Usage(containers={"a": MI + 1, "b": 0}),
            'Container a exceeded its local ephemeral storage limit "1Mi". ',
        ),
        (Limits(containers={"a": MI}, pod=9 * MI), Usage(containers={"a": MI, "b": 2 * MI}), None),
    ],
)
def test_what_is_exceeded_is_told_in_the_kubelets_words(limits: Limits, usage: Usage, words: str | None) -> None:
    assert storage_limits.exceeded(limits, usage) == words
