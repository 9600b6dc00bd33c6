"""CNI with plugins that write down what they are asked, and with the real ones, each test in a machine of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podspace import errors, settings
from podspace.linux import folders, mounts, netns
from podspace.network import choice
from podspace.network.attachment import Attachment, HostPort
from podspace.network.cni import network, plugin
from podspace.network.cni.config import NotInitialized
from tests.integration.network.test_bridge import new_netns

pytestmark = pytest.mark.root

Body = Callable[[choice.Networks], Awaitable[None]]
PORTS = (HostPort(protocol="tcp", host_port=8080, container_port=80),)
# Appends "COMMAND type netns? <request>" to a file, fails where told to, and answers with an address that counts up the chain.
PLUGIN = """#!/bin/sh
request=$(cat)
kind=$(basename "$0")
here=$(dirname "$0")
echo "$CNI_COMMAND $kind ${CNI_NETNS:+netns} $request" >> "$here/calls"
if [ -e "$here/fail-$CNI_COMMAND-$kind" ]; then
  echo '{"cniVersion": "1.0.0", "code": 11, "msg": "it is broken", "details": "on purpose"}'
  exit 1
fi
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.'${#kind}'/24"}], "by": "'$kind'"}'
"""


class Machine:
    """Folders of one server whose plugins are ``one`` and ``three``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf, self.bin = root / "net.d", root / "bin"
        self.bin.mkdir()
        for name in ("one", "three"):
            (self.bin / name).write_text(PLUGIN)
            (self.bin / name).chmod(0o755)

    def settings(self, **more: Any) -> settings.Settings:
        known: dict[str, Any] = {"cni_conf_dir": self.conf, "cni_bin_dirs": (self.bin,), "network": "cni"}
        return settings.Settings(paths=settings.Paths.under(self.root / "r"), **(known | more))

    def configure(self, *, version: str = "1.0.0", **more: Any) -> None:
        self.conf.mkdir(exist_ok=True)
        plugins = [{"type": "one"}, {"type": "three", "capabilities": {"portMappings": True}}]
        text = json.dumps({"cniVersion": version, "name": "net", "plugins": plugins} | more)
        (self.conf / "10-net.conflist").write_text(text)

    def fail(self, command: str, plugin: str) -> None:
        self._mark(command, plugin).touch()

    def mend(self, command: str, plugin: str) -> None:
        self._mark(command, plugin).unlink()

    def _mark(self, command: str, plugin: str) -> Path:
        return self.bin / f"fail-{command}-{plugin}"

    def calls(self) -> list[tuple[str, str, bool, dict[str, Any]]]:
        """(command, plugin, whether there was a netns, request), and forget them."""
        path = self.bin / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        found = []
        for line in lines:
            head, _, request = line.partition("{")
            words = head.split()
            found.append((words[0], words[1], "netns" in words, json.loads("{" + request)))
        return found

    def verbs(self) -> list[str]:
        return [f"{command} {plugin}" for command, plugin, _, _ in self.calls()]

    def run(self, body: Body, **more: Any) -> None:
        asyncio.run(self.serve(body, **more))
        assert not mounts.below(self.root)

    async def serve(self, body: Body, **more: Any) -> None:
        networks = choice.Networks(self.settings(**more))
        try:
            await body(networks)
            await networks.teardown()
        finally:
            networks.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)
    mounts.unmount_below(tmp_path)


@pytest.fixture
def pod() -> Iterator[Attachment]:
    with new_netns() as pid:
        yield Attachment(sandbox_id="box", pid=pid, owner="cri", namespace="default", name="web", host_ports=PORTS)


def test_plugins_add_in_order_and_delete_in_reverse_with_what_was_answered(machine: Machine, pod: Attachment) -> None:
    async def body(networks: choice.Networks) -> None:
        assert (await networks.problem("cri")).startswith("cni plugin not initialized")
        with pytest.raises(NotInitialized):
            await networks.attach(pod)
        await networks.detach(pod.sandbox_id)
        machine.configure()
        assert await networks.problem("cri") == ""
        assert await networks.attach(pod) == ("10.1.0.5",)
        [one, three] = machine.calls()
        assert [(verb, name, where) for verb, name, where, _ in (one, three)] == [("ADD", "one", True), ("ADD", "three", True)]
        assert one[3] == {"type": "one", "name": "net", "cniVersion": "1.0.0"}
        assert three[3]["prevResult"]["by"] == "one"
        assert three[3]["runtimeConfig"] == {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
        assert "LOOPBACK,UP" in netns.inside(pod.pid, lambda: _run("ip", "link", "show", "lo"))
        assert await networks.attach(pod) == ("10.1.0.5",)  # again: nothing is done twice
        assert machine.calls() == []
        (machine.conf / "10-net.conflist").unlink()  # DEL goes by what was then
        await networks.detach(pod.sandbox_id)
        [three, one] = machine.calls()
        assert [(verb, name, where) for verb, name, where, _ in (three, one)] == [("DEL", "three", True), ("DEL", "one", True)]
        assert three[3]["prevResult"]["by"] == one[3]["prevResult"]["by"] == "three"
        assert "portMappings" in three[3]["runtimeConfig"]
        await networks.detach(pod.sandbox_id)
        assert machine.calls() == []

    machine.run(body)


def test_a_plugin_that_fails_is_told_in_its_words_and_the_others_are_undone(machine: Machine, pod: Attachment) -> None:
    machine.configure()

    async def body(networks: choice.Networks) -> None:
        machine.fail("ADD", "three")
        with pytest.raises(errors.Unavailable) as failed:
            await networks.attach(pod)
        words = 'failed to setup network for sandbox "box": plugin type="three" failed (add): it is broken; on purpose'
        assert str(failed.value) == words
        assert machine.verbs() == ["ADD one", "ADD three"]
        machine.fail("DEL", "three")
        with pytest.raises(errors.Unavailable, match="failed to destroy network"):
            await networks.detach(pod.sandbox_id)
        assert machine.verbs() == ["DEL three", "DEL one"]  # the others get their turn nevertheless
        machine.mend("DEL", "three")
        await networks.detach(pod.sandbox_id)
        assert machine.verbs() == ["DEL three", "DEL one"]
        (machine.bin / "one").unlink()
        with pytest.raises(errors.Unavailable, match=r'failed to find plugin "one" in path \[/'):
            await networks.attach(pod)
        (machine.bin / "one").symlink_to("three")
        await networks.detach(pod.sandbox_id)

    machine.run(body)


def test_a_plugin_that_takes_too_long_is_killed_and_undone(machine: Machine, pod: Attachment) -> None:
    """As when a kubelet's deadline is over: RunPodSandbox is cancelled, and discarding the sandbox detaches it."""
    machine.configure()
    (machine.bin / "three").write_text(PLUGIN + '[ "$CNI_COMMAND" != ADD ] || { echo $$ > "$here/pid"; exec sleep 600 > /dev/null; }\n')

    async def body(networks: choice.Networks) -> None:
        attaching = asyncio.ensure_future(networks.attach(pod))
        async with asyncio.timeout(30):
            async for _ in folders.follow(machine.bin):
                if (machine.bin / "pid").exists() and (machine.bin / "pid").read_text():
                    break
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching
        assert not Path(f"/proc/{(machine.bin / 'pid').read_text().strip()}").exists()
        await networks.detach(pod.sandbox_id)
        assert machine.verbs() == ["ADD one", "ADD three", "DEL three", "DEL one"]

    machine.run(body)


def test_a_plugin_that_hangs_is_killed(
    machine: Machine, pod: Attachment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine.configure()

    async def body(networks: choice.Networks) -> None:
        await networks.attach(pod)
        good = (machine.bin / "three").read_text()
        (machine.bin / "three").write_text("#!/bin/sh\nexec sleep 600\n")
        monkeypatch.setitem(plugin.LONGEST_SECONDS, "DEL", 0.2)
        with pytest.raises(errors.Unavailable, match=r'plugin type="three" failed \(del\): killed after 0 s'):
            await networks.detach(pod.sandbox_id)
        monkeypatch.setitem(plugin.LONGEST_SECONDS, "DEL", 60)
        monkeypatch.setattr(network, "UNDO_SECONDS", 0.2)
        await networks.recover([])  # a start goes on
        assert "network of sandbox box, which is gone: it takes too long" in caplog.text
        (machine.bin / "three").write_text(good)
        monkeypatch.setattr(network, "UNDO_SECONDS", 60)
        await networks.recover([])

    machine.run(body)


def test_after_kill_9_what_lives_is_checked_and_what_died_is_deleted(machine: Machine, pod: Attachment) -> None:
    machine.configure()

    async def first(networks: choice.Networks) -> None:
        await networks.attach(pod)
        with new_netns() as pid:
            await networks.attach(Attachment(sandbox_id="dead", pid=pid, owner="cri"))
        with new_netns() as pid:
            machine.fail("ADD", "three")
            with pytest.raises(errors.Unavailable):
                await networks.attach(Attachment(sandbox_id="half", pid=pid, owner="cri"))
            machine.mend("ADD", "three")
        machine.calls()

    async def second(networks: choice.Networks) -> None:
        await networks.recover([pod])
        calls = [(verb, name, where, request.get("prevResult") is not None) for verb, name, where, request in machine.calls()]
        assert sorted(calls) == [
            ("CHECK", "one", True, True),
            ("CHECK", "three", True, True),
            ("DEL", "one", True, False),
            ("DEL", "one", True, True),
            ("DEL", "three", True, False),
            ("DEL", "three", True, True),
        ]
        assert await networks.attach(pod) == ("10.1.0.5",)
        await networks.detach(pod.sandbox_id)

    asyncio.run(machine.serve(first))
    machine.run(second)


def test_after_a_reboot_addresses_are_given_back_without_a_netns(machine: Machine, pod: Attachment) -> None:
    machine.configure()

    async def first(networks: choice.Networks) -> None:
        await networks.attach(pod)
        mounts.unmount_below(machine.root)  # what a reboot leaves of /run
        (machine.root / "r/run/netns/box").unlink()
        machine.calls()

    async def second(networks: choice.Networks) -> None:
        await networks.recover([])
        assert [(verb, name, where) for verb, name, where, _ in machine.calls()] == [("DEL", "three", False), ("DEL", "one", False)]
        await networks.recover([])
        assert machine.calls() == []

    machine.run(first)
    machine.run(second)


def test_a_port_that_no_plugin_forwards_is_refused_to_pods_of_our_own(
    machine: Machine, pod: Attachment, caplog: pytest.LogCaptureFixture
) -> None:
    machine.configure(plugins=[{"type": "one"}])

    async def body(networks: choice.Networks) -> None:
        ours = dataclasses.replace(pod, owner="node")
        with pytest.raises(errors.Unsupported, match="network net has no plugin that is capable of portMappings"):
            await networks.attach(ours)
        assert machine.calls() == []
        await networks.attach(pod)  # a kubelet's, as with containerd
        assert "has no plugin that is capable of portMappings" in caplog.text
        await networks.detach(pod.sandbox_id)

    machine.run(body)


def test_plugins_that_can_say_whether_they_are_ready_are_asked(machine: Machine) -> None:
    machine.configure(version="1.1.0")

    async def body(networks: choice.Networks) -> None:
        assert await networks.problem("cri") == ""
        machine.fail("STATUS", "one")
        assert await networks.problem("cri") == 'plugin type="one" failed (status): it is broken; on purpose'

    machine.run(body)


@pytest.mark.parametrize(
    ("flags", "owner", "configured", "by_cni"),
    [
        ({"network": ""}, "cri", False, True),
        ({"network": ""}, "node", False, False),
        ({"network": ""}, "node", True, True),
        ({"network": "bridge"}, "cri", True, False),
        ({"network": "auto"}, "cri", False, False),
        ({"network": "cni"}, "node", False, True),
        ({"network": "", "cni_conf_dir": None}, "node", True, False),
    ],
)
def test_who_is_attached_by_what(machine: Machine, flags: dict[str, Any], owner: str, configured: bool, by_cni: bool) -> None:
    if configured:
        machine.configure()
    networks = choice.Networks(machine.settings(**flags))
    assert networks.uses_cni(owner) is by_cni
    networks.close()


def test_podmans_own_network_is_nobodys_but_podmans(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podspace.network.cni.network.CNI_CONF_DIR", machine.conf)
    system = settings.Settings(cni_bin_dirs=(machine.bin,))
    networks = choice.Networks(system)
    machine.configure(name="podman")
    assert not networks.uses_cni("node")
    machine.configure()
    assert networks.uses_cni("node")
    (machine.conf / "00-broken.conflist").write_text("{")
    assert networks.uses_cni("node")
    networks.close()


REAL = {
    "cniVersion": "1.0.0",
    "name": "real",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-test0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.75.0.0/24"}], [{"subnet": "fd75::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
    ],
}


def test_the_real_plugins_make_a_network_and_leave_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.conf.mkdir()
    real = json.loads(json.dumps(REAL))
    real["plugins"][0]["ipam"]["dataDir"] = str(tmp_path / "ipam")
    (machine.conf / "10-real.conflist").write_text(json.dumps(real))

    async def body(networks: choice.Networks) -> None:
        with new_netns() as pid:
            annotations = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "10M"}
            wanted = Attachment(sandbox_id="box", pid=pid, owner="cri", host_ports=PORTS, annotations=annotations)
            address, address6 = await networks.attach(wanted)
            assert address.startswith("10.75.0.")
            assert address6.startswith("fd75::")
            assert "tbf" in _run("tc", "qdisc")
            with netns.open_socket(pid) as listener:
                listener.bind(("0.0.0.0", 80))
                listener.listen()
                for where in ((address, 80), ("10.75.0.1", 8080)):
                    await asyncio.to_thread(socket.create_connection(where, timeout=5).close)
        await networks.recover([])  # /pause died
        assert "10.75" not in _run("iptables-save")
        assert _run("ip", "-o", "link", "show", "type", "veth") == ""  # not /sys/class/net: that is of who mounted it
        assert not [path for path in (tmp_path / "ipam/real").iterdir() if path.name.startswith("10.")]

    with new_netns() as outer:
        netns.inside(outer, lambda: machine.run(body, cni_bin_dirs=settings.CNI_BIN_DIRS))


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_what_the_folder_says_is_logged_to_whom_it_matters(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """With auto nobody needs to hear that there is no CNI."""
    caplog.set_level(logging.INFO)
    machine.conf.mkdir()

    async def body(networks: choice.Networks) -> None:
        await networks.setup(["node", "cri"])
        changed = asyncio.Event()
        networks.on_change(changed.set)
        following = asyncio.ensure_future(networks.run())
        seen: list[str] = []
        steps: list[Callable[[], object]] = [list, machine.configure, (machine.conf / "10-net.conflist").unlink]
        for step in steps:
            step()
            async with asyncio.timeout(30):
                await changed.wait()
                while len(caplog.messages) == len(seen):
                    changed.clear()
                    await changed.wait()
            seen = caplog.messages.copy()
            changed.clear()
        following.cancel()

    with new_netns() as outer:
        netns.inside(outer, lambda: machine.run(body, network=""))
    missing = f"cni plugin not initialized: no network config found in {machine.conf}"
    missing += "; leave a configuration there, or serve with --network bridge"
    assert caplog.messages == [
        f"network of a kubelet's Pods: {missing}",
        "network of Pods: CNI, ready",
        "network of a kubelet's Pods: CNI, ready",
        "network of Pods: the built-in bridge",
        f"network of a kubelet's Pods: {missing}",
    ]
