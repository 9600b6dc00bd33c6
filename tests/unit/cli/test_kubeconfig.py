"""Finding and reading kubeconfigs, and the WebSocket frames: what the network verbs stand on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podspace.cli import client, failure, flags, kubeconfig, websocket

CONFIG = {
    "current-context": "one",
    "contexts": [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        {"name": "two", "context": {"cluster": "c", "user": "t"}},
        {"name": "lost", "context": {"cluster": "nowhere"}},
    ],
    "clusters": [
        {
            "name": "c",
            "cluster": {
                "server": "https://127.0.0.1:6443/",
                "certificate-authority": "ca.crt",
                "extensions": [{"name": "other", "extension": {}}, {"name": "podspace.io/socket", "extension": {"path": "/run/a.sock"}}],
            },
        }
    ],
    "users": [
        {"name": "u", "user": {"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5"}},
        {"name": "t", "user": {"token": "T"}},
    ],
}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "PODSPACE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kubeconfig, "SYSTEM", str(tmp_path / "system"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "config").write_text(json.dumps(CONFIG))
    return tmp_path / "config"


def options(*words: str) -> flags.Options:
    return flags.parse("test", "", flags.COMMON, words)


def test_the_current_context_says_everything(path: Path) -> None:
    cluster = kubeconfig.load(options(f"--kubeconfig={path}"))
    assert (cluster.server, cluster.socket, cluster.namespace) == ("https://127.0.0.1:6443", "/run/a.sock", "team")
    assert (cluster.ca, cluster.client_certificate, cluster.client_key) == (b"CA", b"cert", b"key")


def test_flags_win_over_the_context(path: Path) -> None:
    cluster = kubeconfig.load(options(f"--kubeconfig={path}", "--context=two", "-n", "mine"))
    assert (cluster.token, cluster.namespace) == ("T", "mine")


def test_yaml_is_read_too(path: Path) -> None:
    path.write_text(
        "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 'http://x:1'}}]\n"
    )
    assert kubeconfig.load(options(f"--kubeconfig={path}")).server == "http://x:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "kubeconfig"), ("a: [", "kubeconfig"), ("[]", "holds no configuration"), ("{}", 'context "" does not exist')],
)
def test_a_broken_file_is_named(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(failure.Failure, match=message):
        kubeconfig.load(options(f"--kubeconfig={path}"))


def test_a_context_without_a_cluster_is_refused(path: Path) -> None:
    with pytest.raises(failure.Failure, match="names no cluster"):
        kubeconfig.load(options(f"--kubeconfig={path}", "--context=lost"))


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(failure.Failure, match="is `podspace serve` running"):
        kubeconfig.find(options())
    (tmp_path / "home/.kube").mkdir(parents=True)
    (tmp_path / "root/etc").mkdir(parents=True)
    for file in (tmp_path / "home/.kube/config", tmp_path / "system"):
        file.write_text("{}")
        assert kubeconfig.find(options()) == str(file)
    (tmp_path / "env").write_text("{}")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing:{tmp_path}/env")
    assert kubeconfig.find(options()) == str(tmp_path / "env")
    assert kubeconfig.find(options("--root", str(tmp_path / "root"))) == str(tmp_path / "root/etc/kubeconfig")


def test_a_missing_file_that_was_named_does_not_lead_to_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "system").write_text("{}")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing")
    with pytest.raises(failure.Failure, match="missing"):
        kubeconfig.find(options())


def test_the_servers_root_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r/etc").mkdir(parents=True)
    (tmp_path / "r/etc/kubeconfig").write_text("{}")
    monkeypatch.setenv("PODSPACE_ROOT", str(tmp_path / "r"))
    assert kubeconfig.find(options()) == str(tmp_path / "r/etc/kubeconfig")


def test_quoting_leaves_only_what_is_unreserved() -> None:
    assert client.quote("a b/ü&=+~") == "a%20b%2F%C3%BC%26%3D%2B~"
    assert client.query([]) == ""


def unmasked(frame: bytes) -> bytes:
    """A client's frame as a server would have sent it."""
    length, head = frame[1] & 0x7F, 2
    head += {126: 2, 127: 8}.get(length, 0)
    mask, payload = frame[head : head + 4], frame[head + 4 :]
    plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((frame[0], frame[1] & 0x7F)) + frame[2:head] + plain


@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 65535, 65536])
def test_frames_of_all_sizes_are_read_back_however_they_are_cut(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    data = unmasked(websocket.frame(websocket.BINARY, payload))
    whole, bytewise = websocket.Reader(), websocket.Reader()
    assert list(whole.feed(data)) == [(websocket.BINARY, payload)]
    step = max(1, len(data) // 7)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert [message for piece in pieces for message in bytewise.feed(piece)] == [(websocket.BINARY, payload)]


def test_a_fragmented_message_is_one_with_control_frames_between() -> None:
    reader = websocket.Reader()
    data = bytes((0x02, 1)) + b"a" + bytes((0x89, 1)) + b"p" + bytes((0x80, 1)) + b"b"
    assert list(reader.feed(data)) == [(websocket.PING, b"p"), (websocket.BINARY, b"ab")]


def test_a_masked_frame_from_the_server_breaks_the_protocol() -> None:
    with pytest.raises(websocket.ProtocolError):
        list(websocket.Reader().feed(websocket.frame(websocket.BINARY, b"x")))


def test_the_servers_answer_to_the_key_is_checked() -> None:
    headers = {"sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "sec-websocket-protocol": "v5.channel.k8s.io"}
    assert websocket.accepts("dGhlIHNhbXBsZSBub25jZQ==", headers)
    assert not websocket.accepts("other", headers)
