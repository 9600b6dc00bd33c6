"""Manifests, indexes and configs: what is read of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podspace import errors
from podspace.image import manifest
from podspace.image.manifest import Platform

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def described(media_type: str, digest: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": 7, **more}


def image(**changes: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": manifest.OCI_MANIFEST,
        "config": described(OCI_CONFIG, A),
        "layers": [described(OCI_LAYER, B)],
    }
    return json.dumps(document | changes).encode()


def index(*platforms: str | None, media_type: str = manifest.OCI_INDEX) -> bytes:
    """Platforms as os/architecture[/variant]; None for one that says nothing. Digests count up."""
    entries = []
    for number, text in enumerate(platforms):
        entry = described(manifest.OCI_MANIFEST, f"sha256:{number:064x}")
        if text is not None:
            os, architecture, *variant = text.split("/")
            entry["platform"] = {"os": os, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
        entries.append(entry)
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()


def chosen(wanted: str, *platforms: str | None) -> int:
    parsed = manifest.parse(index(*platforms))
    assert isinstance(parsed, manifest.Index)
    architecture, _, variant = wanted.partition("/")
    return int(manifest.choose(parsed, Platform(architecture=architecture, variant=variant)).digest[7:], 16)


def test_a_manifest_names_config_and_layers() -> None:
    parsed = manifest.parse(image())
    assert isinstance(parsed, manifest.Manifest)
    assert (parsed.config.digest, [layer.digest for layer in parsed.layers], parsed.layers[0].size) == (A, [B], 7)


def test_dockers_types_are_read_too() -> None:
    body = image(
        mediaType=manifest.DOCKER_MANIFEST,
        config=described("application/vnd.docker.container.image.v1+json", A),
        layers=[described("application/vnd.docker.image.rootfs.diff.tar.gzip", B)],
    )
    assert isinstance(manifest.parse(body), manifest.Manifest)
    assert isinstance(manifest.parse(index("linux/amd64", media_type=manifest.DOCKER_LIST)), manifest.Index)


def test_a_body_without_its_type_is_what_the_transport_said() -> None:
    document = json.loads(index("linux/amd64"))
    del document["mediaType"]
    assert isinstance(manifest.parse(json.dumps(document).encode(), manifest.OCI_INDEX + "; charset=utf-8"), manifest.Index)
    assert isinstance(manifest.parse(json.dumps(document).encode()), manifest.Index)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"nonsense", b"[" * 100_000,
        image(schemaVersion=1), image(config=None), image(layers=None), image(layers=["x"]),
        image(config=described("application/vnd.cncf.helm.config.v1+json", A)),
        image(layers=[described("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", B)]),
        image(layers=[described("application/vnd.in-toto+json", B)]),
        image(layers=[described(OCI_LAYER, "sha256:short")]),
        image(layers=[described(OCI_LAYER, "sha256:../../../../etc/passwd")]),
        image(layers=[described(OCI_LAYER, A.replace("sha256", "md5"))]),
        image(layers=[described(OCI_LAYER, A.upper())]),
        image(layers=[described(OCI_LAYER, B) | {"size": -1}]),
        image(layers=[described(OCI_LAYER, B) | {"size": "7"}]),
    ],
)  # fmt: skip
def test_what_is_no_manifest_of_an_image_is_refused(body: bytes) -> None:
    with pytest.raises(errors.BadRequest):
        manifest.parse(body)


def test_the_machines_architecture_is_chosen() -> None:
    assert chosen("arm64/v8", "linux/amd64", "linux/arm64/v8", "windows/amd64") == 1
    assert chosen("amd64", "windows/amd64", "linux/386", "linux/amd64") == 2


def test_the_best_variant_the_machine_can_run_is_chosen() -> None:
    assert chosen("arm/v7", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6") == 1
    assert chosen("arm/v6", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6") == 2
    assert chosen("amd64", "linux/amd64/v3", "linux/amd64") == 1
    assert chosen("arm64/v8", "linux/arm64") == 0


def test_attestations_are_not_images() -> None:
    assert chosen("amd64", "unknown/unknown", "linux/amd64") == 1


def test_a_manifest_without_platform_is_better_than_none() -> None:
    assert chosen("amd64", None, "linux/amd64") == 1
    assert chosen("amd64", "linux/arm64", None) == 1


def test_no_match_says_what_there_is() -> None:
    with pytest.raises(errors.NotFound, match=r"no match for platform .* in manifest .*linux/arm64.*: not found"):
        chosen("amd64", "linux/arm64", "windows/amd64")


def config(**changes: Any) -> bytes:
    document = {"os": "linux", "architecture": "amd64", "created": "2023-01-01T00:00:00Z", "rootfs": {"type": "layers", "diff_ids": [A, B]}}
    return json.dumps(document | changes).encode()


def test_a_config_says_how_to_start() -> None:
    parsed = manifest.parse_config(
        config(
            config={
                "Entrypoint": ["/init"], "Cmd": ["a", "b"], "Env": ["A=1"], "User": "1000:1", "WorkingDir": "/w", "StopSignal": "SIGQUIT",
                "Labels": {"k": "v"}, "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}},
            }
        )
    )  # fmt: skip
    image = parsed.image
    assert (image.entrypoint, image.cmd, image.env, image.user) == (("/init",), ("a", "b"), ("A=1",), "1000:1")
    assert (image.working_dir, image.stop_signal, image.labels) == ("/w", "SIGQUIT", {"k": "v"})
    assert (image.volumes, image.exposed_ports) == (("/data",), ("80/tcp",))
    assert (parsed.diff_ids, parsed.created, parsed.architecture) == ((A, B), "2023-01-01T00:00:00Z", "amd64")


def test_a_config_may_leave_everything_out() -> None:
    for empty in (config(), config(config=None), config(config={"Cmd": None, "Env": None, "Labels": None})):
        assert manifest.parse_config(empty).image.cmd == ()


@pytest.mark.parametrize("body", [config(os="windows"), config(rootfs=None), config(rootfs={}), config(rootfs={"diff_ids": ["x"]}), b"7"])
def test_what_is_no_config_of_a_linux_image_is_refused(body: bytes) -> None:
    with pytest.raises(errors.BadRequest):
        manifest.parse_config(body)


def test_a_chain_id_names_a_layer_and_all_below() -> None:
    first, second, third = manifest.chain_ids((A, B, C))
    assert first == A
    assert second == manifest.digest(f"{A} {B}".encode())
    assert third == manifest.digest(f"{second} {C}".encode())
    assert manifest.chain_ids(()) == ()


def test_content_that_is_not_what_its_digest_names_is_refused() -> None:
    manifest.verify(b"x", manifest.digest(b"x"), "blob")
    with pytest.raises(errors.FailedPrecondition, match="unexpected digest"):
        manifest.verify(b"y", manifest.digest(b"x"), "blob")
