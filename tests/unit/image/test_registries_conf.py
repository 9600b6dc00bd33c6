"""containers-registries.conf(5): where an image really comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from podspace import errors
from podspace.image import reference, registries_conf


def endpoints(text: str, name: str) -> list[str]:
    """``host/repository``, with ! behind what may be insecure."""
    conf = registries_conf.RegistriesConf(registries=tuple(registries_conf.parse(text)))
    return [each.name + "!" * each.insecure for each in conf.endpoints(reference.parse(name))]


MIRRORED = """
[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "mirror.lan:5000/hub"
insecure = true
[[registry.mirror]]
location = "second.lan"
pull-from-mirror = "digest-only"
"""


def test_without_configuration_a_name_leads_to_its_registry() -> None:
    assert endpoints("", "nginx") == ["docker.io/library/nginx"]
    assert endpoints("", "quay.io/a/b:1") == ["quay.io/a/b"]


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9:1", "[::1]:5000"])
def test_registries_on_this_machine_may_be_insecure(host: str) -> None:
    assert endpoints("", f"{host}/x") == [f"{host}/x!"]


@pytest.mark.parametrize("host", ["127.0.0.1.example.com", "localhost.example.com:5000", "10.0.0.1:5000"])
def test_names_that_only_look_local_are_not(host: str) -> None:
    assert endpoints("", f"{host}/x") == [f"{host}/x"]


def test_mirrors_come_first_then_the_registry() -> None:
    assert endpoints(MIRRORED, "nginx") == ["mirror.lan:5000/hub/library/nginx!", "docker.io/library/nginx"]


def test_a_mirror_may_be_for_digests_only() -> None:
    wanted = "nginx@sha256:" + "ab" * 32
    assert endpoints(MIRRORED, wanted) == ["mirror.lan:5000/hub/library/nginx!", "second.lan/library/nginx", "docker.io/library/nginx"]
    only = '[[registry]]\nprefix="docker.io"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.lan"\n'
    assert endpoints(only, "nginx") == ["docker.io/library/nginx"]


def test_the_longest_prefix_wins() -> None:
    text = "".join(
        f'[[registry]]\nprefix="{prefix}"\nlocation="{to}"\n'
        for prefix, to in (("r.io", "one.lan"), ("r.io/team", "two.lan/t"), ("r.io/team/app:1", "three.lan/app"))
    )
    assert endpoints(text, "r.io/x:1") == ["one.lan/x"]
    assert endpoints(text, "r.io/team/x:1") == ["two.lan/t/x"]
    assert endpoints(text, "r.io/teams/x:1") == ["one.lan/teams/x"]


def test_a_prefix_without_a_port_does_not_cover_one() -> None:
    text = '[[registry]]\nprefix="r.io"\nlocation="one.lan"\n'
    assert endpoints(text, "r.io:5000/x") == ["r.io:5000/x"]
    assert endpoints(text, "r.ion/x") == ["docker.io/r.ion/x"] or endpoints(text, "r.ion/x") == ["r.ion/x"]


def test_a_star_covers_subdomains() -> None:
    text = '[[registry]]\nprefix="*.r.io"\nlocation="one.lan/all"\n'
    assert endpoints(text, "a.r.io/x") == ["one.lan/all/x"]
    assert endpoints(text, "a.b.r.io/x") == ["one.lan/all/x"]
    assert endpoints(text, "r.io/x") == ["r.io/x"]


def test_a_star_without_location_keeps_the_host() -> None:
    assert endpoints('[[registry]]\nprefix="*.r.io"\ninsecure=true\n', "a.r.io/x") == ["a.r.io/x!"]


def test_a_blocked_registry_is_refused() -> None:
    with pytest.raises(errors.Forbidden, match="blocked"):
        endpoints('[[registry]]\nprefix="docker.io"\nblocked=true\n', "nginx")


def test_other_tools_keys_are_passed_over() -> None:
    text = 'unqualified-search-registries = ["quay.io"]\nshort-name-mode = "enforcing"\n[aliases]\n"nginx" = "quay.io/nginx"\n'
    assert endpoints(text, "nginx") == ["docker.io/library/nginx"]


@pytest.mark.parametrize(
    "text",
    [
        "[[registry",
        "[registries.search]\nregistries = ['docker.io']\n",
        "registry = 3\n",
        "[registry]\nprefix = 'x'\n",
        "[[registry]]\ninsecure = true\n",
        "[[registry]]\nprefix = 3\n",
        "[[registry]]\nprefix = 'x'\nblocked = 'yes'\n",
        "[[registry]]\nlocation = 'https://x'\n",
        "[[registry]]\nprefix='x'\n[[registry.mirror]]\ninsecure=true\n",
        "[[registry]]\nprefix='x'\n[[registry.mirror]]\nlocation='y'\npull-from-mirror='never'\n",
        "[[registry]]\nprefix='x'\nmirror='y'\n",
        "registry = [1]\n",
    ],
)
def test_mistakes_are_told_with_the_files_name(text: str) -> None:
    with pytest.raises(errors.BadRequest, match=r"my\.conf"):
        registries_conf.parse(text, origin="my.conf")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("\n[[registry]]\nprefix='x'\n\n[[registry]] # two\nprefix=3\n", r"my\.conf:5: prefix"),
        ("x = 1\ny =\n", r"my\.conf: not TOML: .*line 2"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, place: str) -> None:
    with pytest.raises(errors.BadRequest, match=place):
        registries_conf.parse(text, origin="my.conf")


def test_drop_in_files_replace_a_prefix(tmp_path: Path) -> None:
    main = tmp_path / "registries.conf"
    main.write_text('[[registry]]\nprefix="docker.io"\nlocation="one.lan"\n')
    (tmp_path / "registries.conf.d").mkdir()
    (tmp_path / "registries.conf.d/10-x.conf").write_text('[[registry]]\nprefix="docker.io"\nlocation="two.lan"\n')
    conf = registries_conf.load(main)
    assert [each.name for each in conf.endpoints(reference.parse("nginx"))] == ["two.lan/library/nginx"]


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="does not exist"):
        registries_conf.load(tmp_path / "none.conf")
