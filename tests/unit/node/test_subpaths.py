"""Which part of a volume is mounted, and that no symlink leads out of it. The mounts themselves: tests/conformance/pods/test_volumes.py."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from podspace.node import subpaths
from podspace.node.environment import ConfigError
from tests.unit.node.builders import pod

VARIABLES = {"NAME": "p", "EMPTY": "", "UP": ".."}


def wanted(**mount: Any) -> dict[int, str]:
    spec = {"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}]}
    return subpaths.wanted(pod(spec).containers[0], VARIABLES)


def test_a_part_is_named_by_path_or_by_variables() -> None:
    assert wanted() == {}
    assert wanted(subPath="a/b") == {0: "a/b"}
    assert wanted(subPathExpr="x/$(NAME)/$$(NAME)") == {0: "x/p/$(NAME)"}


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"subPathExpr": "$(ZZ)/$(NAME)/$(AA)"}, "missing value for AA, ZZ"),
        ({"subPathExpr": "$(EMPTY)"}, "missing value for EMPTY"),
        ({"subPathExpr": "/$(NAME)"}, "error SubPath `/p` must not be an absolute path"),
        ({"subPathExpr": "a/$(UP)/b"}, "unable to provision SubPath `a/../b`: must not contain '..'"),
    ],
)
def test_a_part_that_cannot_be_is_told_in_the_kubelets_words(mount: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wanted(**mount)
    assert str(caught.value) == message


def test_a_missing_part_is_made_with_the_volumes_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    subpaths._make(tmp_path, "a/b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o2775
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o2775
    (tmp_path / "a" / "b").chmod(0o700)
    subpaths._make(tmp_path, "a/b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_link_inside_is_followed_and_one_that_leads_out_is_not(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    (volume / "real").mkdir(parents=True)
    outside.mkdir()
    (volume / "inner").symlink_to("real")
    (volume / "up").symlink_to("../outside")
    (volume / "absolute").symlink_to(outside)
    (volume / "dangling").symlink_to("../outside/new")
    (volume / "back").symlink_to(volume / "real")
    assert subpaths._inside(volume, "back/made") == "real/made"
    assert subpaths._inside(volume, "inner/made") == "inner/made"
    subpaths._make(volume, "inner/made")
    assert (volume / "real" / "made").is_dir()
    for hostile in ("up/made", "absolute/made", "dangling/made", "dangling"):
        with pytest.raises(OSError, match=r"."):
            subpaths._make(volume, subpaths._inside(volume, hostile))
    assert list(outside.iterdir()) == []
