"""The flags that say how much may lie about, and what a kubelet would not take either."""

from __future__ import annotations

import pytest

from podspace.cli import failure, flags, server_flags
from podspace.settings import Housekeeping, Settings


def made(*argv: str) -> Settings:
    return server_flags.make(flags.parse("serve", "", (*server_flags.PLACE, *server_flags.KUBELET), argv))


def test_the_defaults_are_a_kubelets() -> None:
    assert made().housekeeping == Housekeeping()
    assert (made().max_pods, made().pod_max_pids) == (110, 0)


def test_sizes_durations_and_counts_are_read() -> None:
    found = made(
        *("--container-log-max-size=1Mi", "--container-log-max-files=2", "--container-log-monitor-interval=1m"),
        *("--image-gc-high-threshold=50", "--image-gc-low-threshold=40", "--pod-max-pids=7", "--max-pods=3"),
    )
    kept = found.housekeeping
    assert (kept.log_max_bytes, kept.log_max_files, kept.log_check_seconds) == (1 << 20, 2, 60.0)
    assert (kept.image_gc_high_percent, kept.image_gc_low_percent, found.pod_max_pids, found.max_pods) == (50, 40, 7, 3)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--container-log-max-files=1", "must be at least 2"),
        ("--container-log-max-size=lots", "expected a size such as 10Mi"),
        ("--container-log-monitor-interval=0s", "expected more than nothing"),
        ("--image-gc-high-threshold=101", "must be between 0 and 100"),
        ("--image-gc-low-threshold=85", "must be less than --image-gc-high-threshold"),
        ("--pod-max-pids=-1", "expected 0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(flag: str, words: str) -> None:
    with pytest.raises(failure.Usage, match=words):
        made(flag)
