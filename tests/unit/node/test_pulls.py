"""What a container is told of its image: there, on its way, refused, or held back for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from podspace import errors
from podspace.image.model import Image, ImageConfig
from podspace.node import image_volumes, pulls
from podspace.node.backoff import Backoff
from podspace.node.pulls import Verdict
from tests.unit.node.builders import pod

IMAGE = Image(id="sha256:x", repo_tags=(), repo_digests=(), size_bytes=7, config=ImageConfig(), layers=(), created="", architecture="amd64")


class Registry:
    """Stands in for ``image.service.Images``: has what it is told to have, and fails as often as it is told."""

    def __init__(self, *, present: bool = False, failures: int = 0) -> None:
        self.present, self.failures, self.asked = present, failures, 0

    def find(self, name: str, /) -> Image | None:
        if name != name.lower():
            raise errors.BadRequest("invalid reference format")
        return IMAGE if self.present else None

    async def pull(self, name: str, **_: Any) -> Image:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise errors.NotFound("manifest unknown")
        return IMAGE


class Told:
    """Stands in for the recorder."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.where: list[tuple[str, str]] = []

    def normal(self, obj: object, reason: str, message: str, *, field_path: str = "") -> None:
        self.reasons.append(reason)
        self.where.append((field_path, message))

    warning = normal


class Rig:
    """One container's puller, on a clock of its own."""

    def __init__(self, registry: Registry, tasks: asyncio.TaskGroup, monkeypatch: pytest.MonkeyPatch, **container: Any) -> None:
        self.registry, self.told, self.now = registry, Told(), 1000.0
        self.woken = asyncio.Event()
        monkeypatch.setattr(pulls, "time", SimpleNamespace(monotonic=lambda: self.now))  # not the loop's
        self.pod = pod({"containers": [{"name": "a", "image": "app:1", "imagePullPolicy": "IfNotPresent"} | container]})
        parts: Any = {"images": registry, "recorder": self.told}
        self.puller = pulls.Puller(**parts, backoff=Backoff(), tasks=tasks, wake=self.woken.set)

    def check(self) -> Verdict:
        return self.puller.check(self.pod, self.pod.containers[0], ())

    async def pulled(self) -> Verdict:
        """Begin a pull, let it end, and ask again."""
        self.woken.clear()
        assert self.check() == Verdict()
        await self.woken.wait()
        return self.check()


def run(monkeypatch: pytest.MonkeyPatch, registry: Registry, test: Callable[[Rig], Awaitable[None]], **container: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            await test(Rig(registry, tasks, monkeypatch, **container))

    asyncio.run(main())


def reason(verdict: Verdict) -> str:
    return verdict.problem.reason if verdict.problem else ""


def test_a_pull_is_good_for_one_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig) -> None:
        assert (await rig.pulled()).image == IMAGE
        assert rig.told.reasons == ["Pulling", "Pulled"]
        assert (await rig.pulled()).image == IMAGE
        assert rig.registry.asked == 2

    run(monkeypatch, Registry(present=True), test, imagePullPolicy="Always")


def test_what_is_present_is_not_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig) -> None:
        assert rig.check().image == IMAGE
        assert (rig.registry.asked, rig.told.reasons) == (0, ["Pulled"])

    run(monkeypatch, Registry(present=True), test)


def test_a_failure_is_shown_as_such_and_after_ten_seconds_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig) -> None:
        for delay in (10, 20, 40, 80, 160, 300, 300):
            failed_at = rig.now
            first = await rig.pulled()
            assert (reason(first), first.retry_at) == ("ErrImagePull", failed_at + min(delay / 2, pulls.SYNC_SECONDS))
            rig.now = first.retry_at or 0.0
            second = rig.check()
            assert (reason(second), second.retry_at) == ("ImagePullBackOff", failed_at + delay)
            assert second.problem is not None
            assert second.problem.message == 'Back-off pulling image "app:1": ErrImagePull: manifest unknown'
            rig.now = second.retry_at or 0.0
        assert (await rig.pulled()).image == IMAGE
        assert rig.told.reasons[:5] == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]

    run(monkeypatch, Registry(failures=7), test)


def test_a_policy_of_never_and_a_name_that_is_none_ask_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(rig: Rig) -> None:
        assert (reason(rig.check()), rig.registry.asked) == ("ErrImageNeverPull", 0)

    async def none(rig: Rig) -> None:
        assert (reason(rig.check()), rig.registry.asked) == ("InvalidImageName", 0)

    run(monkeypatch, Registry(), never, imagePullPolicy="Never")
    run(monkeypatch, Registry(), none, image="NONE")


def test_the_pull_of_an_image_volume_is_the_pods_and_its_failure_the_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig) -> None:
        spec = {"volumes": [{"name": "v", "image": {"reference": "artifact:1", "pullPolicy": "IfNotPresent"}}]}
        whole = pod(spec | {"containers": [{"name": "a", "image": "app:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]})
        [volume] = image_volumes.used_by(whole, whole.containers[0])
        assert rig.puller.check(whole, volume, ()) == Verdict()
        await rig.woken.wait()
        assert rig.told.where == [
            ("", 'Pulling image "artifact:1"'),
            ("", 'Failed to pull image "artifact:1": manifest unknown'),
            ("spec.containers{a}", "Error: ErrImagePull"),
        ]

    run(monkeypatch, Registry(failures=1), test)
