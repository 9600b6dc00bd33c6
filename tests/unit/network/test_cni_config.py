"""Which CNI network a folder names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podspace.network.cni import config


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def conflist(name: str = "net", **more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge"}, {"type": "portmap"}]} | more


@pytest.mark.parametrize("folder", ["empty", "missing", "a-file"])
def test_without_a_configuration_the_words_are_containerds(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").touch()
    with pytest.raises(config.NotInitialized, match=r"^cni plugin not initialized: no network config found in /"):
        config.load(tmp_path / folder)


def test_the_lexically_first_file_counts_of_whatever_kind(tmp_path: Path) -> None:
    write(tmp_path, "20-b.conflist", conflist("second"))
    write(tmp_path, "00-readme.txt", "no configuration")
    assert config.load(tmp_path).name == "second"
    write(tmp_path, "10-a.conf", {"cniVersion": "0.4.0", "name": "first", "type": "bridge"})
    loaded = config.load(tmp_path)
    assert (loaded.name, loaded.version, [plugin["type"] for plugin in loaded.plugins]) == ("first", "0.4.0", ["bridge"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Expecting property name"),
        ("[]", "not an object"),
        (conflist(name=""), "no name"),
        (conflist(name="../x"), "slash"),
        (conflist(plugins=[]), "no plugins"),
        (conflist(plugins=[{}]), "no type"),
        (conflist(plugins=[{"type": "../sh"}]), "slash"),
        (conflist(plugins={}), "no plugins"),
        (conflist(plugins="x"), "not a list"),
        (conflist(cniVersion="0.2.0"), "unsupported CNI version 0.2.0"),
        (conflist(cniVersion=""), r"unsupported CNI version \(none given\)"),
    ],
)
def test_a_first_file_that_is_wrong_is_not_passed_over(tmp_path: Path, content: Any, said: str) -> None:
    write(tmp_path, "10-a.conflist", content)
    write(tmp_path, "20-b.conflist", conflist())
    with pytest.raises(config.NotInitialized, match=said):
        config.load(tmp_path)


def test_the_newest_version_known_here_is_spoken(tmp_path: Path) -> None:
    write(tmp_path, "a.conflist", conflist(cniVersion="1.0.0", cniVersions=["0.4.0", "1.0.0", "1.1.0", "9.0.0"]))
    assert config.load(tmp_path).version == "1.1.0"


def test_plugins_may_lie_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    write(tmp_path / "net", "10-more.conf", {"type": "tuning"})
    write(tmp_path, "a.conflist", conflist())
    assert [plugin["type"] for plugin in config.load(tmp_path).plugins] == ["bridge", "portmap", "tuning"]
    write(tmp_path, "a.conflist", conflist(loadOnlyInlinedPlugins=True))
    assert [plugin["type"] for plugin in config.load(tmp_path).plugins] == ["bridge", "portmap"]


def test_a_configuration_survives_being_written_down() -> None:
    original = config.parse(json.dumps(conflist(disableCheck=True)), is_list=True)
    assert config.decode(json.loads(json.dumps(config.encode(original)))) == original
