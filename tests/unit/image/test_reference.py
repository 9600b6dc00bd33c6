"""Names of images, as Docker reads them."""

from __future__ import annotations

import pytest

from podspace import errors
from podspace.image import reference

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.14.2", "docker.io/library/nginx:1.14.2"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("bitnami/kubectl:1", "docker.io/bitnami/kubectl:1"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("[::1]:5000/x:y", "[::1]:5000/x:y"),
        ("r.io:5000/a/b/c:Tag_1.2-3", "r.io:5000/a/b/c:Tag_1.2-3"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("UPPER/x", "UPPER/x:latest"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        (f"busybox@sha256:{HEX}", f"docker.io/library/busybox@sha256:{HEX}"),
        (f"busybox:1.28@sha256:{HEX}", f"docker.io/library/busybox:1.28@sha256:{HEX}"),
    ],
)
def test_a_name_is_filled_in(text: str, canonical: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == canonical
    assert reference.parse(canonical) == parsed
    assert reference.parse(parsed.familiar) == parsed


def test_a_familiar_name_is_what_a_user_would_write() -> None:
    assert reference.parse("docker.io/library/nginx:1").familiar == "nginx:1"
    assert reference.parse("docker.io/bitnami/x:1").familiar == "bitnami/x:1"
    assert reference.parse("quay.io/library/nginx:1").familiar == "quay.io/library/nginx:1"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "/", ":", "@", "nginx:", ":tag", "nginx@", "nginx@sha256:12", "/nginx", "nginx/", "a//b", "a b", "nginx:la test",
        "nginx:-x", "nginx:" + "x" * 129, "https://docker.io/nginx", "a_-b", "-a", "a-", "a..b", "a___b", "nginx\n", "nginx:1\n", "ä",
        "r.io/" + "x" * 256, "-r.io/x", "r..io/x", "../../etc/passwd", "r.io/../x", HEX, "nginx:ä", "[::1/x",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(errors.BadRequest, match="invalid reference format"):
        reference.parse(text)


@pytest.mark.parametrize(("text", "repository"), [("Nginx:1", "library/Nginx"), ("Nginx:!!", "library/Nginx"), ("r.io/-A", "-A")])
def test_an_upper_case_repository_is_explained(text: str, repository: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        reference.parse(text)
    words = f"invalid reference format: repository name ({repository}) must be lowercase"
    assert str(caught.value) == f'couldn\'t parse image name "{text}": {words}'


def test_an_id_is_told_from_a_name() -> None:
    assert reference.image_id(HEX) == f"sha256:{HEX}"
    assert reference.image_id(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert reference.image_id("nginx") is None
    assert reference.image_id(HEX[:12]) is None
