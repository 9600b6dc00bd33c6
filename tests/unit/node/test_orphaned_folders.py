"""What a start of the server deletes: what it once made for Pods that nobody knows any more, and no kubelet's logs."""

from __future__ import annotations

from pathlib import Path

from podspace.node import termination
from podspace.node.pod import PodUid
from podspace.settings import Paths


def test_logs_and_folders_of_forgotten_pods_go_and_a_kubelets_logs_stay(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    for uid in ("known", "forgotten"):
        (paths.pods / uid / "volumes").mkdir(parents=True)
    for uid in ("known", "forgotten", "kubelets"):
        (paths.log / f"default_web_{uid}" / "c").mkdir(parents=True)
    termination.remove_orphaned_folders(paths, {PodUid("known")})
    assert [path.name for path in paths.pods.iterdir()] == ["known"]
    assert sorted(path.name for path in paths.log.iterdir()) == ["default_web_known", "default_web_kubelets"]
