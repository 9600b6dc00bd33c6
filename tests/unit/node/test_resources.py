from __future__ import annotations

from podspace.node import resources


def test_memory_that_runs_out_ends_a_container_as_a_whole() -> None:
    spec = {"containers": [{"name": "a"}]}
    assert resources.container_resources(spec, spec["containers"][0], memory_capacity_bytes=1 << 30).unified == {"memory.oom.group": "1"}
