"""``podspace image`` beside a server that runs containers of those images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import Server
from tools import images
from tools.terminal import Terminal

pytestmark = pytest.mark.root

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "user"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "a", "image": "busybox:1.28", "command": ["sleep", "3600"]}],
    },
}


@pytest.fixture(scope="module")
def used(podspace: Server) -> Server:
    """busybox:1.28 is used by a container."""
    podspace.apply(POD)
    podspace.wait_ready("user")
    return podspace


def image(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "podspace.cli.main", "image", *words, "--root", str(server.root)]
    if server.registries_conf is not None:
        argv.append(f"--registries-conf={server.registries_conf}")
    return server.run(*argv, check=False)


def test_an_image_that_a_container_uses_is_not_removed(used: Server) -> None:
    (image_id,) = {row.split()[2] for row in image(used, "ls", "busybox:1.28", "--no-headers").stdout.splitlines()}
    for name in ("busybox:1.28", image_id):
        refused = image(used, "rm", name)
        assert refused.returncode == 1
        assert "is used by a container; delete its Pod first" in refused.stderr
    assert used.exec("user", "a", "ls", "/bin/busybox") == "/bin/busybox\n"
    assert image(used, "rm", "--force", "busybox:1.28").stderr.startswith("error: unknown flag: --force")


def test_load_names_what_was_in_the_file_and_rm_takes_that_name_back(used: Server, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    subprocess.run(["cp", "-a", str(images.layout()), str(layout)], check=True)
    index = json.loads((layout / "index.json").read_text())
    chosen = next(each for each in index["manifests"] if "busybox:1.28" in json.dumps(each))
    chosen["annotations"] = {"org.opencontainers.image.ref.name": "example.com/mine:v9"}
    (layout / "index.json").write_text(json.dumps({**index, "manifests": [chosen]}))
    assert image(used, "load", str(layout)).stdout == "Loaded image: example.com/mine:v9\n"
    assert "example.com/mine:v9\n" in image(used, "ls", "-o", "name").stdout
    assert image(used, "rm", "example.com/mine:v9").stdout == "Untagged: example.com/mine:v9\n"
    assert "busybox:1.28" in image(used, "ls", "-o", "name").stdout


def test_pull_shows_its_progress_on_a_terminal_only(used: Server) -> None:
    image(used, "rm", "nginx")
    argv = ["image", "pull", "nginx:latest", "--root", str(used.root), f"--registries-conf={used.registries_conf}"]
    with Terminal([sys.executable, "-m", "podspace.cli.main", *argv], environment=used.environment) as terminal:
        terminal.read_until("━━━━.*MB")
        terminal.read_until(r"Pulled image: docker\.io/library/nginx:latest")
        assert terminal.wait_exit() == 0
    again = image(used, "pull", "nginx:latest")
    assert (again.stdout, again.stderr) == ("Pulled image: docker.io/library/nginx:latest\n", "")
    assert image(used, "rm", "nginx").stdout.startswith("Untagged: docker.io/library/nginx:latest\nDeleted: sha256:")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("load", "/nowhere.tar"), "failed to load /nowhere.tar"),
        (("load", "/etc/hostname"), "neither a tarball of images nor an OCI layout"),
        (("pull", "busybox:nosuch"), "docker.io/library/busybox:nosuch: not found"),
        (("pull", "Bad Name"), "invalid reference format"),
        (("rm", "nosuch"), 'image "nosuch" is not on this machine'),
        (("frob",), 'unknown command "frob": load, pull, ls, rm or prune'),
    ],
)
def test_mistakes_are_a_line(podspace: Server, words: tuple[str, ...], message: str) -> None:
    done = image(podspace, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_prune_leaves_what_containers_stand_on(used: Server) -> None:
    image(used, "pull", "podspace-test/user")
    pruned = image(used, "prune")
    assert pruned.returncode == 0, pruned.stderr
    assert "podspace-test/user" in pruned.stdout
    assert " removed, " in pruned.stdout
    assert image(used, "prune").stdout.startswith("0 removed")
    left = image(used, "ls", "--no-headers").stdout.splitlines()
    assert [line.split()[:2] for line in left] == [["docker.io/library/busybox", "1.28"]]
    assert used.exec("user", "a", "ls", "/bin/busybox") == "/bin/busybox\n"
    assert "image prune takes no names" in image(used, "prune", "busybox").stderr
