"""What ``podspace top`` computes and draws."""

from __future__ import annotations

from podspace.cli import top
from podspace.kube.json import JSON
from podspace.lens import present
from tests.unit.lens import census


def look(**seconds: float) -> JSON:
    seen = present.processes(census.SHARED)
    for entry in seen["processes"]:
        entry["cpuSeconds"] = seconds.get(f"p{entry['pid']}", 0.0)
    return seen


def test_cpu_is_what_was_used_between_two_looks() -> None:
    rows = top.usage(look(p8=1.0, p14=5.0), look(p8=1.5, p14=5.0), 1.0)
    assert {row["pid"]: row["cpuPercent"] for row in rows} == {1: 0.0, 8: 50.0, 14: 0.0, 15: 0.0}


def test_a_number_that_came_round_again_is_another_process() -> None:
    before, now = look(p8=90.0), look(p8=0.2)
    for entry in before["processes"]:
        entry["startTicks"] -= 1
    (row,) = [row for row in top.usage(before, now, 1.0) if row["pid"] == 8]
    assert row["cpuPercent"] == 20.0


def test_rows_are_sorted_as_asked() -> None:
    rows = top.usage(look(), look(p14=1.0, p15=0.5), 1.0)
    assert [row["pid"] for row in top.ordered(rows, "cpu")] == [14, 15, 1, 8]
    assert [row["pid"] for row in top.ordered(rows, "pid")] == [1, 8, 14, 15]


def test_sparklines_show_the_newest_values() -> None:
    assert top.sparkline([0, 50, 100], 4) == "  ▄█"
    assert top.sparkline([9, 9, 0, 100], 2) == " █"
    assert top.sparkline([1.0], 1, least=100.0) == " "
    assert top.sparkline([0.0], 1) == " "


def test_the_picture_fits_the_terminal_and_keeps_the_chosen_row_in_it() -> None:
    screen, rows = top.Screen(chosen=3), top.ordered(top.usage(look(), look(), 1.0), "pid")
    top.remember(screen, rows)
    picture = top.lines(screen, rows, width=60, height=8, live=True)
    assert len(picture) == 8
    assert picture[-2].startswith(top.REVERSE)
    assert "sh" in picture[-2]
    assert all(len(line) <= 60 + len(top.REVERSE + top.PLAIN) for line in picture)


def test_a_container_that_is_gone_is_forgotten() -> None:
    screen, rows = top.Screen(), top.usage(look(), look(), 1.0)
    top.remember(screen, rows)
    top.remember(screen, [row for row in rows if row["container"] != "shell"])
    assert sorted(screen.cpu) == ["/pause", "nginx"]
    assert len(screen.cpu["nginx"]) == 2
