"""``podspace files`` on real Pods, hostile ones too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conformance.lens import pods
from tests.support.server import Server

pytestmark = pytest.mark.root


def failed(server: Server, *words: str) -> str:
    done = server.run(sys.executable, "-m", "podspace.cli.main", "files", *words, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def nginx(podspace: Server) -> Server:
    podspace.kubectl("create", "configmap", "words", "--from-literal=greeting=hello")
    pod = pods.page("files")
    pod["spec"]["volumes"] = [{"name": "words", "configMap": {"name": "words"}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "words", "mountPath": "/words"}]
    podspace.apply(pod)
    podspace.wait_ready("files")
    return podspace


def test_files_are_read_with_their_mounts(nginx: Server) -> None:
    config = nginx.podspace("files", "files", "-c", "nginx", "cat", "/etc/nginx/nginx.conf")
    assert config == nginx.exec("files", "nginx", "cat", "/etc/nginx/nginx.conf")
    assert nginx.podspace("files", "files", "-c", "nginx", "cat", "/words/greeting") == "hello"  # by two symlinks
    listed = nginx.podspace("files", "files", "-c", "nginx", "ls", "/words")
    assert "greeting -> ..data/greeting" in listed
    assert "nginx.conf" in nginx.podspace("files", "files", "-c", "nginx", "tree", "/etc/nginx")


def test_copying_needs_no_tar(nginx: Server, tmp_path: Path) -> None:
    nginx.podspace("files", "files", "-c", "nginx", "cp", "/etc/nginx", str(tmp_path / "conf"))
    assert (tmp_path / "conf/nginx.conf").read_text() == nginx.exec("files", "nginx", "cat", "/etc/nginx/nginx.conf")
    nginx.podspace("files", "files", "-c", "nginx", "cp", "/etc/passwd", str(tmp_path))
    assert "nginx" in (tmp_path / "passwd").read_text()


def test_the_difference_to_the_image_is_what_the_container_did(nginx: Server) -> None:
    nginx.apply(pods.pod("diff", pods.shell("one", "echo x > /new; rm /bin/wget; echo y >> /etc/passwd; exec sleep 3600")))
    nginx.wait_ready("diff")
    nginx.exec("diff", "one", "sh", "-c", "until grep -qx y /etc/passwd; do :; done")
    lines = nginx.podspace("files", "diff", "diff").splitlines()
    assert sorted(lines) == ["A /new", "C /etc/passwd", "D /bin/wget"]
    answer = json.loads(nginx.podspace("files", "diff", "diff", "/etc", "-o", "json"))
    assert [entry["path"] for entry in answer["changes"]] == ["/etc/passwd"]


def test_no_symlink_leads_out_and_nothing_hangs(nginx: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    script = (
        f"mkdir -p /farm; ln -s {secret} /farm/out; ln -s ../../../../../..{secret} /farm/up; ln -s loop /farm/loop;"
        " ln -s /proc/1/root /farm/magic; mkfifo /farm/fifo; i=0; while [ $i -lt 500 ]; do ln -s $i /farm/$((i+1)); i=$((i+1)); done;"
        " touch \"/farm/$(printf 'e\\033[2J')\"; exec sleep 3600"
    )
    nginx.apply(pods.pod("farm", pods.shell("one", script)))
    nginx.wait_ready("farm")
    nginx.exec("farm", "one", "sh", "-c", "while [ ! -e /farm/e* ]; do :; done")
    for path in ("/farm/out", "/farm/up", "/farm/500"):
        assert "of the host" not in failed(nginx, "farm", "cat", path)
    assert "Too many levels of symbolic links" in failed(nginx, "farm", "cat", "/farm/loop")
    assert "Too many levels" in failed(nginx, "farm", "cat", f"/farm/magic{secret}")
    assert "a FIFO, not a plain file" in failed(nginx, "farm", "cat", "/farm/fifo")
    assert "a character device" in failed(nginx, "farm", "cat", "/dev/zero")
    listed = nginx.podspace("files", "farm", "ls", "/farm")
    assert "\x1b" not in listed
    assert "e\\x1b[2J" in listed


def test_what_is_not_there_is_said(nginx: Server) -> None:
    assert "No such file or directory" in failed(nginx, "files", "-c", "shell", "cat", "/nope")
    assert "is a folder" in failed(nginx, "files", "-c", "shell", "cat", "/etc")
