"""A container whose image was changed is stopped and started anew, whatever its restart policy."""

from __future__ import annotations

import dataclasses

from podspace.node import decide
from podspace.runtime.model import ContainerStatus
from tests.unit.node.builders import container, pod, seen


def of_image(status: ContainerStatus, image: str) -> ContainerStatus:
    return dataclasses.replace(status, config=dataclasses.replace(status.config, image_reference=image))


def plan(observed: decide.Observed, **spec: object) -> decide.Plan:
    return decide.decide(pod(spec), observed, now=0.0, due=lambda c, at: 0.0)


def test_only_the_container_that_runs_another_image_is_stopped() -> None:
    made = plan(seen(of_image(container("a"), "nginx"), of_image(container("b"), "busybox")))
    assert [stop.container.name for stop in made.stop] == ["a"]
    assert made.start == ()


def test_it_starts_again_even_in_a_pod_that_restarts_nothing() -> None:
    ended = of_image(container("a", exit_code=0), "nginx")
    observed = dataclasses.replace(seen(ended, container("b", exit_code=0)), replaced=frozenset({ended.id}))
    made = plan(observed, restartPolicy="Never")
    assert [c.name for c in made.start] == ["a"]
    assert not made.finished


def test_an_end_of_its_own_is_no_replacement() -> None:
    ended = of_image(container("a", exit_code=0), "nginx")
    assert plan(seen(ended, container("b", exit_code=0)), restartPolicy="Never").finished
