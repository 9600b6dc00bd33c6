"""Start a created container. Called by ``Engine.start_container``."""

from __future__ import annotations

import time

from podspace import errors
from podspace.runtime import container_create, container_stop, model, records, world


async def start(here: world.World, container: records.Container) -> None:
    """Let the container's first process go.

    Cancelled: it may run; the container stays watched.
    Raises: FailedPrecondition when it was started before; Internal with the OCI runtime's words when it cannot run, and then the
    container is EXITED with code 128 and reason StartError.
    """
    if container.state is not model.ContainerState.CREATED:
        raise errors.FailedPrecondition(f"container {container.id} is {container.state}, not CREATED; create a new one")
    container.starting_nanos = time.time_ns()  # before: its end may be seen before we are told of its start
    if not container.facts.failure:
        folder = here.layout.container(container.id)
        try:
            await here.runtime_of(container).start(container.id, log=folder.runtime_log)
        except errors.ToolError as error:
            container.learn(failure=container_create.failure(here, container, "start", error))
    if container.facts.failure:
        await container_stop.kill(here, container)
        raise errors.Internal(container.facts.failure)
    if not container.facts.started_nanos:
        container.learn(started_nanos=container.starting_nanos)
        here.layout.save_container(container)
