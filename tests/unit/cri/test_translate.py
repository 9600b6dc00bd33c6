"""From the CRI's messages to the engine's nouns and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.cri import describe, translate
from podspace.linux import idmap
from podspace.runtime import model


def sandbox_message(**fields: Any) -> pb.PodSandboxConfig:
    return pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name="web", uid="u1", namespace="default", attempt=2), **fields)


def container_message(**fields: Any) -> pb.ContainerConfig:
    return pb.ContainerConfig(metadata=pb.ContainerMetadata(name="app", attempt=1), image=pb.ImageSpec(image="busybox"), **fields)


def place(**fields: Any) -> model.SandboxStatus:
    config = model.SandboxConfig(name="web", uid="u1", namespace="default", owner="cri", **{"log_directory": Path("/logs"), **fields})
    return model.SandboxStatus(
        id=model.SandboxId("s"), config=config, state=model.SandboxState.READY, created_nanos=1, pid=2, ips=("10.0.0.2",), cgroup="/x"
    )


def with_options(**options: Any) -> pb.LinuxContainerConfig:
    return pb.LinuxContainerConfig(security_context=pb.LinuxContainerSecurityContext(namespace_options=pb.NamespaceOption(**options)))


def secured(**fields: Any) -> model.Security:
    linux = pb.LinuxContainerConfig(security_context=pb.LinuxContainerSecurityContext(**fields))
    return translate.security(linux, has_linux=True)


def test_a_sandbox_keeps_what_it_was_given() -> None:
    found = translate.sandbox(
        sandbox_message(
            hostname="web",
            log_directory="/logs",
            dns_config=pb.DNSConfig(servers=["10.0.0.10"], searches=["local"], options=["ndots:5"]),
            labels={"a": "b"},
            annotations={"c": "d"},
            linux=pb.LinuxPodSandboxConfig(
                cgroup_parent="/kubepods/podu1",
                sysctls={"kernel.shm_rmid_forced": "1"},
                security_context=pb.LinuxSandboxSecurityContext(namespace_options=pb.NamespaceOption(pid=pb.CONTAINER, ipc=pb.NODE)),
            ),
        )
    )
    assert found == model.SandboxConfig(
        name="web",
        uid="u1",
        namespace="default",
        attempt=2,
        owner="cri",
        hostname="web",
        log_directory=Path("/logs"),
        dns=model.DnsConfig(servers=("10.0.0.10",), searches=("local",), options=("ndots:5",)),
        pid=model.NamespaceMode.CONTAINER,
        ipc=model.NamespaceMode.NODE,
        sysctls={"kernel.shm_rmid_forced": "1"},
        cgroup_parent="/kubepods/podu1",
        labels={"a": "b"},
        annotations={"c": "d"},
    )


@pytest.mark.parametrize(
    ("host_ip", "said"), [("", ""), ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1")]
)
def test_a_port_of_the_host_is_at_the_addresses_it_names(host_ip: str, said: str) -> None:
    mapping = pb.PortMapping(host_port=8080, container_port=80, host_ip=host_ip)
    [found] = translate.sandbox(sandbox_message(port_mappings=[mapping, pb.PortMapping(container_port=81)])).host_ports
    assert (found.host_ip, found.protocol, found.host_port, found.container_port) == (said, "tcp", 8080, 80)


def test_without_a_word_on_namespaces_the_pid_namespace_is_the_pods() -> None:
    assert translate.sandbox(sandbox_message()).pid is model.NamespaceMode.POD
    assert translate.container(container_message(), place(), "sha256:1").pid is model.NamespaceMode.POD
    assert translate.container(container_message(), place(pid=model.NamespaceMode.NODE), "sha256:1").pid is model.NamespaceMode.NODE


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (pb.PodSandboxConfig(), errors.BadRequest),
        (sandbox_message(linux=pb.LinuxPodSandboxConfig(cgroup_parent="/../x")), errors.BadRequest),
        (sandbox_message(port_mappings=[pb.PortMapping(host_port=80, container_port=70000)]), errors.BadRequest),
        (sandbox_message(port_mappings=[pb.PortMapping(host_port=80, container_port=80, host_ip="nowhere")]), errors.BadRequest),
    ],
)
def test_a_sandbox_that_cannot_be_is_refused(message: pb.PodSandboxConfig, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        translate.sandbox(message)


FULL = pb.IDMapping(host_id=65536, container_id=0, length=65536)


@pytest.mark.parametrize(
    ("userns", "words"),
    [
        (pb.UserNamespace(mode=pb.CONTAINER), "not one of POD and NODE"),
        (pb.UserNamespace(mode=pb.TARGET), "not one of POD and NODE"),
        (pb.UserNamespace(mode=pb.POD), "exactly one mapping of uids"),
        (pb.UserNamespace(mode=pb.POD, uids=[FULL]), "exactly one mapping of gids"),
        (pb.UserNamespace(mode=pb.POD, uids=[FULL, FULL], gids=[FULL]), "exactly one mapping of uids"),
        (pb.UserNamespace(mode=pb.POD, uids=[pb.IDMapping(host_id=1, container_id=1, length=1)], gids=[FULL]), "container's id 0"),
        (pb.UserNamespace(mode=pb.POD, uids=[pb.IDMapping(host_id=1000, length=0)], gids=[FULL]), "no such"),
        (pb.UserNamespace(mode=pb.POD, uids=[pb.IDMapping(host_id=2**32 - 1, length=2)], gids=[FULL]), "no such"),
    ],
)
def test_mappings_that_make_no_sense_are_refused(userns: pb.UserNamespace, words: str) -> None:
    with pytest.raises(errors.BadRequest, match=words):
        translate.user_namespace(pb.NamespaceOption(userns_options=userns))


def test_a_user_namespace_is_the_sandboxes_and_its_containers() -> None:
    options = pb.NamespaceOption(userns_options=pb.UserNamespace(mode=pb.POD, uids=[FULL], gids=[FULL]))
    known = translate.user_namespace(options)
    ranges = (idmap.Range(inside=0, outside=65536, length=65536),)
    assert known == idmap.IdMap(uids=ranges, gids=ranges)
    assert describe.user_namespace(known) == options.userns_options
    assert translate.user_namespace(pb.NamespaceOption(userns_options=pb.UserNamespace(mode=pb.NODE))) is None
    message = container_message(linux=with_options(userns_options=options.userns_options))
    assert translate.container(message, place(user_namespace=known), "sha256:1")
    for wrong, where in ((message, place()), (container_message(), place(user_namespace=known))):
        with pytest.raises(errors.BadRequest, match="that of its sandbox"):
            translate.container(wrong, where, "sha256:1")


def test_a_mount_may_map_ids_and_says_so() -> None:
    wanted = pb.Mount(container_path="/data", host_path="/v", uidMappings=[FULL], gidMappings=[FULL])
    found = translate.mount(wanted)
    assert found.id_map is not None
    assert found.id_map.owner(1, 2) == (65537, 65538)
    assert describe.mount(found).uidMappings == wanted.uidMappings
    with pytest.raises(errors.BadRequest, match="mount /data maps only uids"):
        translate.mount(pb.Mount(container_path="/data", host_path="/v", uidMappings=[FULL]))


def test_a_container_that_joins_another_names_it() -> None:
    found = translate.container(container_message(linux=with_options(pid=pb.TARGET, target_id="abc")), place(), "sha256:1")
    assert (found.pid, found.pid_target) == (model.NamespaceMode.TARGET, "abc")


def test_a_sandbox_without_log_directory_keeps_no_log() -> None:
    assert translate.container(container_message(log_path="app/0.log"), place(), "sha256:1").log_path == "app/0.log"
    assert translate.container(container_message(log_path="app/0.log"), place(log_directory=Path()), "sha256:1").log_path == ""


def test_a_group_needs_a_user() -> None:
    with pytest.raises(errors.BadRequest, match="run_as_group is specified without run_as_user"):
        secured(run_as_group=pb.Int64Value(value=5))
    assert secured(run_as_group=pb.Int64Value(value=5), run_as_user=pb.Int64Value(value=0)).uid == 0
    assert secured(run_as_group=pb.Int64Value(value=5), run_as_username="nobody").user == "nobody"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "Unconfined"),
        ({"seccomp": pb.SecurityProfile()}, "RuntimeDefault"),
        ({"seccomp": pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined)}, "Unconfined"),
        ({"seccomp": pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref="/p.json")}, "Localhost"),
        ({"seccomp_profile_path": "runtime/default"}, "RuntimeDefault"),
        ({"seccomp_profile_path": "localhost//p.json"}, "Localhost"),
    ],
)
def test_seccomp_profiles(fields: dict[str, Any], kind: str) -> None:
    assert secured(**fields).seccomp.kind == kind


def test_masked_paths_are_those_the_kubelet_says() -> None:
    assert secured(masked_paths=["/proc/kcore"]).masked_paths == ("/proc/kcore",)
    assert secured().masked_paths == ()
    assert secured(privileged=True, masked_paths=["/proc/kcore"]).masked_paths == ()
    assert translate.security(pb.LinuxContainerConfig(), has_linux=False).masked_paths is None


@pytest.mark.parametrize(
    "mount",
    [
        pb.Mount(container_path="/x", host_path="relative"),
        pb.Mount(host_path="/x"),
        pb.Mount(container_path="/x", host_path="/x", recursive_read_only=True),
        pb.Mount(container_path="/x", host_path="/x", readonly=True, recursive_read_only=True, propagation=pb.PROPAGATION_BIDIRECTIONAL),
    ],
)
def test_mounts_that_contradict_themselves_are_refused(mount: pb.Mount) -> None:
    with pytest.raises(errors.BadRequest):
        translate.mount(mount)


def test_a_mount_comes_back_as_it_was_asked_for() -> None:
    asked = pb.Mount(container_path="/x", host_path="/y", readonly=True, propagation=pb.PROPAGATION_HOST_TO_CONTAINER)
    assert describe.mount(translate.mount(asked)) == asked


def test_resources_come_back_as_they_were_asked_for() -> None:
    asked = pb.LinuxContainerResources(
        cpu_period=100_000,
        cpu_quota=5000,
        cpu_shares=10,
        memory_limit_in_bytes=1 << 20,
        memory_swap_limit_in_bytes=2 << 20,
        oom_score_adj=-3,
        cpuset_cpus="0",
        hugepage_limits=[pb.HugepageLimit(page_size="2MB", limit=4)],
        unified={"memory.high": "1"},
    )
    assert describe.resources(translate.resources(asked)) == asked


@pytest.mark.parametrize("wanted", [pb.RUNTIME_DEFAULT, pb.SIGTERM, pb.SIGRTMINPLUS3, pb.SIGRTMAX, pb.SIGRTMAXMINUS2])
def test_every_stop_signal_comes_back(wanted: pb.Signal.ValueType) -> None:
    assert describe.stop_signal(translate.stop_signal(wanted)) == wanted


def test_a_sandbox_in_the_hosts_network_tells_no_address() -> None:
    assert describe.sandbox_status(place()).network.ip == "10.0.0.2"
    assert not describe.sandbox_status(place(network=model.NamespaceMode.NODE)).HasField("network")
