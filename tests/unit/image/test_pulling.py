"""Pulling, against a registry that behaves and one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from podspace import errors
from podspace.image import manifest, sources
from podspace.image.auth import Credential
from podspace.image.service import Images
from podspace.settings import Paths, Settings
from tests.unit.image import fake_registry, tars
from tests.unit.image.fake_registry import FakeRegistry

BASE = tars.make([tars.folder("./"), tars.folder("etc"), tars.file("etc/base", b"base")])
NOISE = os.urandom(600_000)
TOP = tars.make([tars.folder("etc"), tars.file("etc/top", b"top"), tars.file("noise", NOISE)])
Test = Callable[[FakeRegistry, Images], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "_FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", os.devnull)


def images_below(root: Path, registries_conf: Path | None = None) -> Images:
    return Images(Settings(paths=Paths.under(root), registries_conf=registries_conf))


def run(root: Path, test: Test) -> None:
    async def main() -> None:
        async with fake_registry.running() as registry:
            registry.add_image("app", "1", [BASE, TOP], {"Cmd": ["sh"], "StopSignal": "SIGQUIT"})
            await test(registry, images_below(root))

    asyncio.run(main())


def leftovers(root: Path) -> list[str]:
    """What a failed pull has left: nothing is the right answer."""
    store = Paths.under(root).images
    return [path.name for folder in ("work", "layers", "blobs/sha256") for path in (store / folder).iterdir()]


def test_an_image_is_pulled_and_found(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        name = f"{registry.host}/app:1"
        assert images.find(name) is None
        seen: dict[str, list[tuple[int, int]]] = {}
        image = await images.pull(name, progress=lambda digest, done, total: seen.setdefault(digest, []).append((done, total)))
        assert image.repo_tags == (name,)
        assert image.repo_digests == (f"{registry.host}/app@{tars.digest(registry.content['app@1'][0])}",)
        assert image.config.cmd == ("sh",)
        assert image.config.stop_signal == "SIGQUIT"
        assert [(layer / "etc").is_dir() for layer in image.layers] == [True, True]
        assert (image.layers[0] / "etc/base").read_text() == "base"
        assert (image.layers[1] / "noise").read_bytes() == NOISE
        assert image.size_bytes == sum(len(body) for key, (body, _) in registry.content.items() if not key.endswith("@1"))
        assert images.find(name) == images.find(image.id) == images.find(image.repo_digests[0]) == images.list()[0] == image
        assert set(seen) == set(registry.blobs_of("app", "1"))
        assert all(progress[-1][0] == progress[-1][1] > 0 for progress in seen.values())

    run(tmp_path, test)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        first = await images.pull(f"{registry.host}/app:1")
        registry.log.clear()
        again = await images.pull(f"{registry.host}/app:1")
        assert again == first
        assert registry.asked_for("/blobs/") == 0
        assert registry.asked_for("GET /v2/app") == 0, "a HEAD is enough, and does not count against a limit of pulls"
        by_digest = await images_below(tmp_path).pull(first.repo_digests[0])
        assert by_digest.id == first.id

    run(tmp_path, test)


def test_pulls_of_the_same_at_the_same_time_share_the_work(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.add_image("other", "1", [BASE, tars.make([tars.file("x")])])
        outcomes = await asyncio.gather(*(images.pull(f"{registry.host}/app:1") for _ in range(5)), images.pull(f"{registry.host}/other:1"))
        assert len({image.id for image in outcomes}) == 2
        for digest in (*registry.blobs_of("app", "1"), registry.blobs_of("other", "1")[1]):
            assert registry.asked_for(digest) == 1, registry.log

    run(tmp_path, test)


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        top = registry.blobs_of("app", "1")[1]
        registry.cut_after[top] = [200_000, 1, 150_000]
        image = await images.pull(f"{registry.host}/app:1")
        assert (image.layers[1] / "noise").read_bytes() == NOISE
        assert sum(top in line and "Range" in line for line in registry.log) == 3

    run(tmp_path, test)


def test_a_registry_that_knows_no_ranges_is_read_again(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.ignores_range = True
        registry.cut_after[registry.blobs_of("app", "1")[1]] = [200_000, 300_000]
        image = await images.pull(f"{registry.host}/app:1")
        assert (image.layers[1] / "noise").read_bytes() == NOISE

    run(tmp_path, test)


def test_a_download_that_never_gets_on_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.content.pop(f"app@{registry.blobs_of('app', '1')[0]}")
        registry.cut_after[registry.blobs_of("app", "1")[1]] = [100_000] + [0] * 20
        with pytest.raises(errors.PodspaceError, match="failed to pull and unpack image"):
            await images.pull(f"{registry.host}/app:1")
        assert images.list() == []
        assert leftovers(tmp_path) == []

    run(tmp_path, test)


def test_content_that_is_not_what_was_promised_is_never_visible(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        top = registry.blobs_of("app", "1")[1]
        body, kind = registry.content[f"app@{top}"]
        registry.content[f"app@{top}"] = (body[:-1] + bytes([body[-1] ^ 1]), kind)
        with pytest.raises(errors.PodspaceError, match=rf"failed to extract layer {top}"):
            await images.pull(f"{registry.host}/app:1")
        assert images.find(f"{registry.host}/app:1") is None
        assert [name for name in leftovers(tmp_path) if top[7:] in name] == []

    run(tmp_path, test)


def test_a_digest_is_not_taken_on_trust(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        wanted = "sha256:" + "ab" * 32
        registry.content[f"app@{wanted}"] = registry.content["app@1"]
        with pytest.raises(errors.FailedPrecondition, match="unexpected digest"):
            await images.pull(f"{registry.host}/app@{wanted}")

    run(tmp_path, test)


def test_what_does_not_exist_is_told_in_containerds_words_and_the_registrys(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        name = f"{registry.host}/nosuch:latest"
        with pytest.raises(errors.NotFound) as caught:
            await images.pull(f"{registry.host}/nosuch")
        expected = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found'
        assert str(caught.value) == f"{expected} ({registry.host}: manifest unknown)"

    run(tmp_path, test)


def test_a_registry_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        with pytest.raises(errors.Unavailable, match=r"failed to resolve reference .*127\.0\.0\.1:1"):
            await images.pull("127.0.0.1:1/app")

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("127.0.0.1:1/app", "cannot connect to 127.0.0.1:1: Connection refused$"),
        ("127.0.0.1:99999/app", "not an address: "),
        ("{host}/loop:1", "redirects without end"),
        ("{host}/lost:1", "not an address: "),
        ("{host}/file:1", "not an address of a registry: file:"),
        ("{host}/realm:1", "wants a token from .*not safe to ask"),
        ("{host}/far:1", "not an address: "),
        ("{host}/newline:1", "answer holds no token"),
        ("{host}/cut:1", "the answer broke off"),
        ("{host}/noise:1", "a malformed answer: "),
    ],
)
def test_a_hostile_registry_gets_a_sentence_and_nothing_else(tmp_path: Path, name: str, words: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            if await reader.read(1) == b"\x16":  # TLS is tried first, and this does not speak it
                return
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(_hostile(request.split()[1].decode(), writer.get_extra_info("sockname")[1]))
            await writer.drain()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(errors.PodspaceError, match=words):
                await images_below(tmp_path).pull(name.format(host=f"127.0.0.1:{port}"))

    asyncio.run(main())


def _hostile(path: str, port: int) -> bytes:
    repository = path.split("/")[2] if path.startswith("/v2/") else path.partition("?")[0]
    head, body = {
        "": ("200 OK", ""),
        "loop": (f"307 Again\r\nLocation: {path}", ""),
        "lost": ("307 Again\r\nLocation: http://[::1", ""),
        "file": ("307 Again\r\nLocation: file:///etc/passwd", ""),
        "realm": ('401 No\r\nWWW-Authenticate: Bearer realm="http://[bad"', ""),
        "far": ('401 No\r\nWWW-Authenticate: Bearer realm="http://127.0.0.1:99999/"', ""),
        "newline": (f'401 No\r\nWWW-Authenticate: Bearer realm="http://127.0.0.1:{port}/token"', ""),
        "/token": ("200 OK", '{"token": "a\\nb: c"}'),
        "cut": ("200 OK", "{"),
        "noise": ("\xff\x00", ""),
    }[repository]
    length = 100 if repository == "cut" else len(body)
    return f"HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}".encode("latin-1")


def test_a_registry_in_trouble_is_asked_again(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.failures = [503]
        await images.pull(f"{registry.host}/app:1")

    run(tmp_path, test)


def test_an_anonymous_token_is_fetched(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.tokens = True
        await images.pull(f"{registry.host}/app:1")
        assert registry.asked_for("/token?service=fake&scope=repository") >= 1
        assert set(registry.authorizations) == {"", "Bearer good"}

    run(tmp_path, test)


@pytest.mark.parametrize("tokens", [True, False])
def test_credentials_open_the_door(tmp_path: Path, tokens: bool) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.tokens, registry.user = tokens, ("joe", "se:cret")
        with pytest.raises(errors.Unauthorized):
            await images.pull(f"{registry.host}/app:1")
        wrong = Credential(scope=registry.host, username="joe", password="wr0ng")
        with pytest.raises(errors.Unauthorized) as caught:
            await images.pull(f"{registry.host}/app:1", credentials=[wrong])
        assert "wr0ng" not in str(caught.value)
        right = Credential(scope=registry.host, username="joe", password="se:cret")
        other = Credential(scope="example.com", username="x", password="y")
        await images.pull(f"{registry.host}/app:1", credentials=[other, wrong, right])

    run(tmp_path, test)


def test_a_bearer_token_is_shown_to_the_registry_itself(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.tokens = True
        wrong = Credential(scope=registry.host, registry_token="wr0ng")
        with pytest.raises(errors.Unauthorized, match="authentication required") as caught:
            await images.pull(f"{registry.host}/app:1", credentials=[wrong])
        assert "wr0ng" not in str(caught.value)
        with pytest.raises(errors.Unauthorized, match="holds what no token may"):
            await images.pull(f"{registry.host}/app:1", credentials=[Credential(scope=registry.host, registry_token="a\r\nb")])
        await images.pull(f"{registry.host}/app:1", credentials=[Credential(scope=registry.host, registry_token="good")])
        assert registry.asked_for("/token") == 0

    run(tmp_path, test)


def test_credentials_of_the_machine_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.user = ("joe", "secret")
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {registry.host: {"username": "joe", "password": "secret"}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        await images.pull(f"{registry.host}/app:1")

    run(tmp_path, test)


def test_mirrors_are_tried_first_and_told_no_secrets(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, _: Images) -> None:
        async with fake_registry.running() as mirror:
            conf = tmp_path / "registries.conf"
            conf.write_text(
                f'[[registry]]\nprefix = "example.com"\nlocation = "{registry.host}"\n'
                f'[[registry.mirror]]\nlocation = "127.0.0.1:1"\n[[registry.mirror]]\nlocation = "{mirror.host}/cache"\n'
            )
            images = images_below(tmp_path, conf)
            registry.user = ("joe", "secret")
            credential = Credential(scope=registry.host, username="joe", password="secret")
            await images.pull("example.com/app:1", credentials=[credential])
            assert mirror.asked_for("/v2/cache/app/manifests/1") == 1
            assert set(mirror.authorizations) == {""}
            mirror.add_image("cache/app", "2", [BASE])
            registry.log.clear()
            image = await images.pull("example.com/app:2")
            assert image.repo_tags == ("example.com/app:2",)
            assert registry.log == []

    run(tmp_path, test)


def test_a_blocked_registry_is_not_asked(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, _: Images) -> None:
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nprefix = "{registry.host}"\nblocked = true\n')
        with pytest.raises(errors.Forbidden, match="blocked"):
            await images_below(tmp_path, conf).pull(f"{registry.host}/app:1")
        assert registry.log == []

    run(tmp_path, test)


def test_the_index_leads_to_this_machines_image(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        here = manifest.host_platform()
        descriptors = []
        for architecture, content in (("made-up", b"no"), (here.architecture, b"yes")):
            digest = registry.add_image("multi", architecture, [tars.make([tars.file("f", content)])], architecture=architecture)
            body = registry.content[f"multi@{digest}"][0]
            platform = {"os": "linux", "architecture": architecture}
            descriptors.append({"mediaType": manifest.OCI_MANIFEST, "digest": digest, "size": len(body), "platform": platform})
        index = registry.add_manifest("multi", "1", {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": descriptors})
        image = await images.pull(f"{registry.host}/multi:1")
        assert (image.layers[0] / "f").read_bytes() == b"yes"
        assert image.repo_digests == (f"{registry.host}/multi@{index}",)

    run(tmp_path, test)


def test_a_tag_that_moved_leaves_the_old_image_nameless(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        name = f"{registry.host}/app:1"
        old = await images.pull(name)
        registry.add_image("app", "1", [BASE])
        new = await images.pull(name)
        assert old.id != new.id
        assert images.find(name) == new
        nameless = images.find(old.id)
        assert nameless is not None
        assert nameless.repo_tags == ()

    run(tmp_path, test)


def test_the_last_one_to_give_up_stops_the_pull(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        name = f"{registry.host}/app:1"
        gate = registry.gates[registry.blobs_of("app", "1")[1]] = asyncio.Event()
        first, second = (asyncio.ensure_future(images.pull(name)) for _ in range(2))
        await registry.reached.wait()
        first.cancel()
        await asyncio.wait({first})
        assert not second.done()
        second.cancel()
        await asyncio.wait({second})
        assert second.cancelled()
        assert not list((Paths.under(tmp_path).images / "work").iterdir())
        gate.set()
        assert (await images.pull(name)).repo_tags == (name,)

    run(tmp_path, test)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) > 10_000:
            raise OSError(28, "No space left on device")
        return real(fd, data)

    async def test(registry: FakeRegistry, images: Images) -> None:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(errors.Unavailable, match="No space left on device"):
            await images.pull(f"{registry.host}/app:1")
        monkeypatch.undo()
        assert images.list() == []
        assert not list((Paths.under(tmp_path).images / "work").iterdir())

    run(tmp_path, test)


def test_a_layer_that_tries_to_leave_fails_the_pull(tmp_path: Path) -> None:
    async def test(registry: FakeRegistry, images: Images) -> None:
        registry.add_image("evil", "1", [tars.make([tars.file("../../../evil", b"x")])])
        with pytest.raises(errors.BadRequest, match=r"refusing '\.\./\.\./\.\./evil'"):
            await images.pull(f"{registry.host}/evil:1")
        assert not list(tmp_path.rglob("evil"))

    run(tmp_path, test)
