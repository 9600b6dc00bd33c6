"""OCI specs: what a config becomes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from podspace import errors
from podspace.linux import idmap
from podspace.oci import capabilities, users
from podspace.runtime import layout, machine, model, spec_container, spec_process, spec_sandbox

MODE = model.NamespaceMode
HERE = machine.Machine(architecture="x86_64", cgroup_version=1, capabilities=capabilities.NAMES)
ROOT = users.User(uid=0, gid=0, groups=(), home="/root")
SANDBOX = model.SandboxConfig(name="web", uid="u", namespace="default", log_directory=Path("/log"), pid=MODE.POD)


@dataclass(frozen=True, kw_only=True)
class Image:
    entrypoint: tuple[str, ...] = ("/entry",)
    cmd: tuple[str, ...] = ("default",)
    env: tuple[str, ...] = ("PATH=/bin", "A=image", "EMPTY=")
    user: str = ""
    working_dir: str = "/srv"
    stop_signal: str = "SIGQUIT"


def _config(**kwargs: Any) -> model.ContainerConfig:
    return model.ContainerConfig(**{"name": "c", "image": "i", "pid": MODE.POD, **kwargs})


def _place(sandbox: model.SandboxConfig = SANDBOX) -> spec_container.Place:
    return spec_container.Place(
        sandbox=sandbox,
        folder=layout.Folder(Path("/run/s")),
        pause_pid=10,
        target_pid=20,
        hostname="web",
        rootfs=Path("/run/c/rootfs"),
        cgroup="/podspace/podu/c",
    )


def _spec(config: model.ContainerConfig, *, place: spec_container.Place | None = None, here: machine.Machine = HERE) -> dict[str, Any]:
    spec = spec_container.build(config, Image(), here, place or _place(), ROOT)
    json.dumps(spec)
    return spec


def _namespaces(spec: dict[str, Any]) -> dict[str, str]:
    return {entry["type"]: entry.get("path", "new") for entry in spec["linux"]["namespaces"]}


SHARED = {"network": "/proc/10/ns/net", "uts": "/proc/10/ns/uts", "ipc": "/proc/10/ns/ipc", "mount": "new"}


@pytest.mark.parametrize(
    ("mode", "pid"),
    [(MODE.POD, {"pid": "/proc/10/ns/pid"}), (MODE.CONTAINER, {"pid": "new"}), (MODE.TARGET, {"pid": "/proc/20/ns/pid"}), (MODE.NODE, {})],
)
def test_the_table_of_process_namespaces(mode: model.NamespaceMode, pid: dict[str, str]) -> None:
    assert _namespaces(_spec(_config(pid=mode))) == SHARED | pid


def test_the_hosts_namespaces_are_simply_not_left() -> None:
    place = _place(replace(SANDBOX, network=MODE.NODE, ipc=MODE.NODE))
    spec = _spec(_config(pid=MODE.NODE), place=place)
    assert _namespaces(spec) == {"mount": "new"}
    assert {"destination": "/dev/shm", "source": "/dev/shm"}.items() <= _mount(spec, "/dev/shm").items()


def test_a_cgroup_namespace_comes_with_version_2_but_not_for_the_privileged() -> None:
    v2 = replace(HERE, cgroup_version=2)
    assert _namespaces(_spec(_config(), here=v2))["cgroup"] == "new"
    assert "cgroup" not in _namespaces(_spec(_config(security=model.Security(privileged=True)), here=v2))


def _mount(spec: dict[str, Any], destination: str) -> dict[str, Any]:
    (found,) = [mount for mount in spec["mounts"] if mount["destination"] == destination]
    assert isinstance(found, dict)
    return found


def test_a_containers_own_mount_wins_and_parents_come_first() -> None:
    own = (
        model.Mount(source=Path("/v/deep"), destination="/data/deep/er"),
        model.Mount(source=Path("/v/hosts"), destination="/etc/hosts"),
        model.Mount(source=Path("/v/data"), destination="/data", readonly=True, recursive_readonly=True),
        model.Mount(source=Path("/v/shm"), destination="/dev/shm/", propagation="rslave"),
    )
    spec = _spec(_config(mounts=own))
    destinations = [mount["destination"] for mount in spec["mounts"]]
    assert destinations.index("/data") < destinations.index("/data/deep/er")
    assert destinations.count("/etc/hosts") == 1
    assert "/dev/shm" not in destinations
    assert _mount(spec, "/etc/hosts")["source"] == "/v/hosts"
    assert _mount(spec, "/data")["options"] == ["rbind", "rprivate", "ro", "rro"]
    assert spec["linux"]["rootfsPropagation"] == "rslave"


def test_arguments_follow_dockers_and_kubernetes_rules() -> None:
    def args(**kwargs: Any) -> list[str]:
        return spec_process.arguments(_config(**kwargs), Image())

    assert args() == ["/entry", "default"]
    assert args(args=("x",)) == ["/entry", "x"]
    assert args(command=("run",)) == ["run"]
    assert args(command=("run",), args=("x",)) == ["run", "x"]
    with pytest.raises(errors.FailedPrecondition, match="no command specified"):
        spec_process.arguments(_config(), Image(entrypoint=(), cmd=()))


def test_the_environment_is_the_images_then_the_containers() -> None:
    env = dict(entry.split("=", 1) for entry in _spec(_config(env=(("A", "mine"), ("B", "x=y")), tty=True))["process"]["env"])
    assert env == {"PATH": "/bin", "HOSTNAME": "web", "TERM": "xterm", "A": "mine", "B": "x=y", "EMPTY": "", "HOME": "/root"}


@pytest.mark.parametrize(
    ("name", "number"), [("SIGTERM", 15), ("quit", 3), ("9", 9), ("SIGRTMIN+3", 37), ("SIGNONSENSE", 15), ("SIGRTMIN+x", 15)]
)
def test_signals_have_many_spellings(name: str, number: int) -> None:
    assert spec_process.signal_number(name) == number


@pytest.mark.parametrize("name", ["0", "65", "9999", "9" * 5000, "²", "-1", "SIGRTMIN+31", "SIG", "", "SIGTERM+²"])
def test_a_signal_the_kernel_would_refuse_is_sigterm(name: str) -> None:
    """Otherwise no Pod of such an image could be stopped."""
    assert spec_process.signal_number(name) == 15


def test_the_containers_stop_signal_wins_over_the_images() -> None:
    assert spec_process.stop_signal(_config(), Image()) == 3
    assert spec_process.stop_signal(_config(stop_signal="SIGINT"), Image()) == 2
    assert spec_process.stop_signal(_config(), Image(stop_signal="")) == 15


def test_a_default_container_is_confined() -> None:
    spec = _spec(_config())
    assert spec["process"]["capabilities"]["bounding"] == [name for name in capabilities.NAMES if name in capabilities.DEFAULT]
    assert spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "/proc/kcore" in spec["linux"]["maskedPaths"]
    assert "/proc/sys" in spec["linux"]["readonlyPaths"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert "ro" in _mount(spec, "/sys")["options"]
    assert spec["process"]["cwd"] == "/srv"


def test_a_privileged_one_is_not() -> None:
    spec = _spec(_config(security=model.Security(privileged=True)))
    assert spec["process"]["capabilities"]["effective"] == list(capabilities.NAMES)
    assert "seccomp" not in spec["linux"]
    assert spec["linux"]["maskedPaths"] == []
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "rw" in _mount(spec, "/sys")["options"]


def test_a_local_seccomp_profile_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    security = model.Security(seccomp=model.SeccompProfile(kind="Localhost", localhost_path=file))
    with pytest.raises(errors.FailedPrecondition, match=r"profile\.json"):
        _spec(_config(security=security))
    file.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    assert _spec(_config(security=security))["linux"]["seccomp"] == {"defaultAction": "SCMP_ACT_LOG"}


def test_an_apparmor_profile_is_passed_on_if_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def confined(kind: str, name: str = "", *, on: bool = True, **fields: Any) -> dict[str, Any]:
        security = model.Security(apparmor=model.AppArmorProfile(kind=kind, name=name), **fields)
        process: dict[str, Any] = _spec(_config(security=security), here=replace(HERE, apparmor=on))["process"]
        return process

    monkeypatch.setattr("podspace.linux.apparmor.is_loaded", lambda name: name in ("loaded", "podspace-default"))
    assert confined("RuntimeDefault")["apparmorProfile"] == "podspace-default"
    assert confined("Localhost", "loaded")["apparmorProfile"] == "loaded"
    with pytest.raises(errors.FailedPrecondition, match='apparmor profile "other" is not loaded'):
        confined("Localhost", "other")
    with pytest.raises(errors.Unsupported, match="apparmor is not supported"):
        confined("Localhost", "loaded", on=False)
    for kind in ("Unset", "Unconfined"):
        assert "apparmorProfile" not in confined(kind, on=False)
    assert "apparmorProfile" not in confined("Localhost", "loaded", privileged=True)


def test_the_sandbox_is_owned_by_its_user_namespace_and_containers_join_it() -> None:
    ranges = (idmap.Range(inside=0, outside=65536, length=65536),)
    mapped = replace(SANDBOX, user_namespace=idmap.IdMap(uids=ranges, gids=ranges))
    mappings = [{"containerID": 0, "hostID": 65536, "size": 65536}]
    pause = _pause(mapped)["linux"]
    assert pause["namespaces"][0] == {"type": "user"}
    assert pause["uidMappings"] == pause["gidMappings"] == mappings
    assert pause["sysctl"]["net.ipv4.ping_group_range"] == "0 65535"
    container = _spec(_config(), place=_place(mapped))
    assert _namespaces(container)["user"] == "/proc/10/ns/user"
    assert container["linux"]["uidMappings"] == mappings
    assert "uidMappings" not in _spec(_config(), place=_place(mapped), here=replace(HERE, infers_mappings=True))["linux"]


def test_whoever_a_container_runs_as_may_listen_and_ping_unless_the_sandbox_says_otherwise() -> None:
    usual = _pause(SANDBOX)["linux"]["sysctl"]
    assert usual == {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    own = {"net.ipv4.ip_unprivileged_port_start": "1024"}
    assert _pause(replace(SANDBOX, sysctls=own))["linux"]["sysctl"] == usual | own
    assert _pause(replace(SANDBOX, network=MODE.NODE))["linux"]["sysctl"] == {}


def test_a_device_gets_a_node_and_a_rule() -> None:
    device = model.Device(source=Path("/dev/null"), destination="/dev/nothing", permissions="r")
    spec = _spec(_config(devices=(device,)))
    (node,) = spec["linux"]["devices"]
    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/dev/nothing", "c", 1, 3)
    assert spec["linux"]["resources"]["devices"][1] == {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}


def test_limits_are_written_only_where_they_are_set() -> None:
    assert spec_container.resources(model.Resources(), HERE) == {}
    files = {"memory.high": "5", "misc.max": "6"}
    full = model.Resources(cpu_shares=2, memory_limit_bytes=7, pids_limit=3, hugepage_limit_bytes={"2MB": 4}, unified=files)
    assert spec_container.resources(full, replace(HERE, swap_limits=True, cgroup_version=2, controllers=("cpu", "memory"))) == {
        "cpu": {"shares": 2},
        "memory": {"limit": 7, "swap": 7},
        "pids": {"limit": 3},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
        "unified": {"memory.high": "5"},
    }
    assert "unified" not in spec_container.resources(full, HERE)


def test_an_oom_score_the_kernel_would_refuse_is_not_asked_for() -> None:
    poor = replace(HERE, capabilities=tuple(name for name in capabilities.NAMES if name != "CAP_SYS_RESOURCE"), oom_score_adj=5)
    assert (poor.oom_score(-998), poor.oom_score(900), HERE.oom_score(-998)) == (5, 900, -998)


def _pause(config: model.SandboxConfig) -> dict[str, Any]:
    return spec_sandbox.build(config, HERE, rootfs=Path("/r"), program=Path("/usr/bin/catatonit"), hostname="web", cgroup="/p/s")


def test_pause_holds_the_namespaces_and_can_do_nothing() -> None:
    spec = _pause(SANDBOX)
    assert spec["process"]["args"] == ["/pause", "-P"]
    assert spec["process"]["capabilities"]["bounding"] == []
    assert spec["root"]["readonly"] is True
    assert {entry["type"] for entry in spec["linux"]["namespaces"]} == {"mount", "pid", "network", "uts", "ipc"}
    assert spec["hostname"] == "web"


def test_pause_of_a_host_network_pod_does_not_rename_the_host() -> None:
    spec = _pause(replace(SANDBOX, network=MODE.NODE, pid=MODE.NODE, ipc=MODE.NODE))
    assert spec["linux"]["namespaces"] == [{"type": "mount"}]
    assert "hostname" not in spec


def test_resolv_conf_is_the_hosts_unless_something_is_said() -> None:
    assert spec_sandbox.resolv_conf(model.DnsConfig(), "nameserver 9.9.9.9\n") == "nameserver 9.9.9.9\n"
    dns = model.DnsConfig(servers=("1.1.1.1", "2.2.2.2"), searches=("a", "b"), options=("ndots:5",))
    assert spec_sandbox.resolv_conf(dns, "x") == "search a b\nnameserver 1.1.1.1\nnameserver 2.2.2.2\noptions ndots:5\n"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("net.ipv4.conf.eth0.rp_filter", "/proc/sys/net/ipv4/conf/eth0/rp_filter"),
        ("net.ipv4.conf.eth0/1.rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
        ("net/ipv4/conf/eth0.1/rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
    ],
)
def test_where_a_sysctl_is(name: str, file: str) -> None:
    assert str(spec_sandbox.sysctl_file(name)) == file
    assert spec_sandbox.is_of_network(name)
    assert not spec_sandbox.is_of_network("kernel.shm_rmid_forced")
