"""Pod Security Standards: what a namespace's labels let in, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.kube import pod_security
from podspace.kube.json import JSON
from tests.unit.api.serving import Client, played, pod

SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(name: str = "a", **fields: Any) -> JSON:
    return {"name": name, "image": "x", **fields}


def refused(level: pod_security.Level, *containers: JSON, minor: int = pod_security.LATEST, **spec: Any) -> str:
    obj = {"metadata": {"name": "p", **spec.pop("metadata", {})}, "spec": {"containers": list(containers) or [container()], **spec}}
    return pod_security.words(pod_security.violations(level, minor, obj))


def test_a_plain_pod_breaks_the_restricted_standard_in_four_ways() -> None:
    assert refused("privileged", hostPID=True) == refused("baseline") == ""
    assert refused("restricted", container("a"), container("b")) == (
        'allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    assert refused("restricted", container(securityContext=SAFE)) == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"hostPID": True, "hostNetwork": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (
            {"containers": [container(ports=[{"hostPort": 80}, {"hostPort": 81}])]},
            'hostPort (container "a" uses hostPorts 80, 81)',
        ),
        (
            {"containers": [container(securityContext={"privileged": True})]},
            'privileged (container "a" must not set securityContext.privileged=true)',
        ),
        (
            {"containers": [container(securityContext={"capabilities": {"add": ["SYS_PTRACE", "CHOWN"]}})]},
            'non-default capabilities (container "a" must not include "SYS_PTRACE" in securityContext.capabilities.add)',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            {"containers": [container(livenessProbe={"httpGet": {"host": "h", "port": 1}})]},
            'probe or lifecycle host (container "a" uses probe or lifecycle host "h")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
        ),
        (
            {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
            'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
        ),
        (
            {"containers": [container(securityContext={"procMount": "Unmasked"})]},
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
    ],
)
def test_the_baseline_forbids_what_reaches_beyond_the_pod(spec: JSON, words: str) -> None:
    containers = spec.pop("containers", [container()])
    assert refused("baseline", *containers, **spec) == words


def test_the_restricted_standard_knows_volumes_users_and_user_namespaces() -> None:
    safe = container(securityContext=SAFE)
    volumes = [{"name": "n", "nfs": {}}, {"name": "e", "emptyDir": {}}]
    assert refused("restricted", safe, volumes=volumes) == 'restricted volume types (volume "n" uses restricted volume type "nfs")'
    root: dict[str, Any] = {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}}
    assert refused("restricted", safe, **root) == (
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must not set runAsUser=0)"
    )
    assert refused("restricted", safe, hostUsers=False, **root) == ""
    assert "runAsUser" in refused("restricted", safe, hostUsers=False, minor=34, **root)
    assert "runAsUser" not in refused("restricted", safe, minor=22, **root)


async def namespace(client: Client, name: str, **labels: str) -> Any:
    spelled = {f"pod-security.kubernetes.io/{mode.replace('_', '-')}": level for mode, level in labels.items()}
    return await client.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": spelled}})


def test_labels_of_a_namespace_are_obeyed() -> None:
    async def scene(client: Client) -> None:
        assert (await namespace(client, "tight", enforce="baseline", enforce_version="v1.30", warn="restricted")).status == 201
        path = "/api/v1/namespaces/tight/pods"
        answer = await client.post(path, pod("p", hostPID=True))
        assert (answer.status, answer.message) == (
            403,
            'pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces (hostPID=true)',
        )
        warned = await client.post(path, pod("q"))
        assert warned.status == 201
        assert 'would violate PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation != false' in warned.warnings[-1]
        assert (await client.patch(f"{path}/q", {"metadata": {"labels": {"a": "b"}}})).warnings == []

    played(scene)


def test_labels_that_cannot_be_read_are_refused_and_stricter_ones_tell_whom_they_would_hit() -> None:
    async def scene(client: Client) -> None:
        bad = await namespace(client, "bad", enforce="tight", warn_version="1.30")
        assert bad.status == 422
        assert (
            'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "tight": must be one of privileged, baseline, restricted'
            in bad.message
        )
        assert 'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.30": must be "latest" or "v1.x"' in bad.message
        await namespace(client, "late")
        for name in ("a", "b"):
            await client.post("/api/v1/namespaces/late/pods", pod(name, hostPID=True))
        change = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
        told = await client.patch("/api/v1/namespaces/late", change)
        assert told.status == 200
        assert [text.replace("\\", "") for text in told.warnings] == [
            '299 - "existing pods in namespace "late" violate the new PodSecurity enforce level "baseline:latest""',
            '299 - "a (and 1 other pod): host namespaces"',
        ]

    played(scene)
