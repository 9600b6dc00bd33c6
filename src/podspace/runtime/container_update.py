"""Change the limits of a container that is there. Called by ``Engine.update_resources``."""

from __future__ import annotations

import dataclasses

from podspace import errors
from podspace.runtime import model, records, spec_container, world


async def update(here: world.World, container: records.Container, wanted: model.Resources) -> None:
    """Set the limits that ``wanted`` names and keep the others; they are told by its status and survive a restart of ours.

    Raises: FailedPrecondition (it has ended), ToolError. Source: cri-api api.proto UpdateContainerResources.
    """
    if container.state is model.ContainerState.EXITED:
        raise errors.FailedPrecondition(f"container {container.config.name} ({container.id}) is not running: {container.state}")
    await here.runtime_of(container).update(container.id, spec_container.resources(wanted, here.machine))
    container.learn(resources=merged(container.config.resources, wanted))
    here.layout.save_container(container)


def merged(before: model.Resources, wanted: model.Resources) -> model.Resources:
    """What is set in ``wanted``, else what was before. An oom_score_adj is given once, at the start."""
    changes = {field.name: value for field in dataclasses.fields(wanted) if (value := getattr(wanted, field.name))}
    return dataclasses.replace(before, **(changes | {"oom_score_adj": before.oom_score_adj}))
