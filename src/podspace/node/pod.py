"""A Pod as the node agent reads it: the API object's JSON turned once into typed, frozen values.

Made from a validated and defaulted object (so lookups need no fallbacks of their own); nothing here decides anything.
What a Pod may hold beyond this is either kept by the API and meaningless to a node, or refused by ``node.support``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, NewType

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.node import handlers, probes
from podspace.node.handlers import Handler

PodUid = NewType("PodUid", str)


class Role(Enum):
    """Where in a Pod a container stands; it decides when it starts and whether it counts for the Pod's end."""

    INIT = "initContainers"
    SIDECAR = "sidecar"  # an init container with restartPolicy Always (KEP-753)
    MAIN = "containers"
    EPHEMERAL = "ephemeralContainers"


class RestartPolicy(StrEnum):
    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRule:
    """What to do when a container exits with one of ``codes`` (or, ``negated``, with any other)."""

    everything: bool  # RestartAllContainers, else the container alone
    codes: frozenset[int]
    negated: bool

    def matches(self, exit_code: int) -> bool:
        return (exit_code in self.codes) != self.negated


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a Pod's spec. ``raw`` is its JSON, for the parts that are translated elsewhere (env, mounts, limits)."""

    name: str
    role: Role
    image: str
    pull_policy: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    working_dir: str
    stdin: bool
    stdin_once: bool
    tty: bool
    restart_policy: RestartPolicy
    restart_rules: tuple[RestartRule, ...]
    probes: Mapping[probes.Kind, probes.Probe]
    post_start: Handler | None
    pre_stop: Handler | None
    target: str  # ephemeral containers: whose pidns to join
    termination_message_path: str
    termination_message_policy: str
    raw: JSON

    @property
    def field_path(self) -> str:
        """How events name the container: ``spec.containers{nginx}``."""
        field = "initContainers" if self.role is Role.SIDECAR else self.role.value
        return f"spec.{field}{{{self.name}}}"

    @property
    def container_path(self) -> str:
        return self.field_path

    def rule_for(self, exit_code: int) -> RestartRule | None:
        """The first of its restart rules that fits."""
        return next((rule for rule in self.restart_rules if rule.matches(exit_code)), None)

    def restarts_after(self, exit_code: int) -> bool:
        """Whether its restart rules, or else its restart policy, bring it back when it has exited."""
        if self.rule_for(exit_code) is not None:
            return True
        match self.restart_policy:
            case RestartPolicy.ALWAYS:
                return True
            case RestartPolicy.ON_FAILURE:
                return exit_code != 0
            case RestartPolicy.NEVER:
                return False

    @property
    def security(self) -> JSON:
        return self.raw.get("securityContext") or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One Pod. ``raw`` is the API object; treat it as frozen."""

    uid: PodUid
    namespace: str
    name: str
    generation: int
    init_containers: tuple[Container, ...]  # sidecars among them, in order
    containers: tuple[Container, ...]
    ephemeral_containers: tuple[Container, ...]
    restart_policy: RestartPolicy
    grace_seconds: int  # spec.terminationGracePeriodSeconds
    active_deadline_seconds: int | None
    delete_by: float | None  # Unix seconds at which a deletion's grace is over; None = not being deleted
    share_pid: bool
    host_pid: bool
    host_ipc: bool
    host_network: bool
    host_users: bool
    raw: JSON

    @property
    def spec(self) -> JSON:
        spec: JSON = self.raw["spec"]
        return spec

    @property
    def phase(self) -> str:
        return str((self.raw.get("status") or {}).get("phase") or "Pending")

    @property
    def full_name(self) -> str:
        """As the kubelet names a Pod in its messages: ``nginx_default(uid)``."""
        return f"{self.name}_{self.namespace}({self.uid})"

    @property
    def hostname(self) -> str:
        """What uname(2) says inside: at most 63 characters, as the kubelet cuts it; an override is as it is (KEP-4762)."""
        return str(self.spec.get("hostnameOverride") or "") or str(self.spec.get("hostname") or self.name)[:63].rstrip("-.")

    def fqdn(self, cluster_domain: str) -> str:
        """The name in full, "" for a Pod that has none: without a subdomain, or with its host name overridden."""
        subdomain = self.spec.get("subdomain")
        if not subdomain or self.spec.get("hostnameOverride"):
            return ""
        return f"{self.hostname}.{subdomain}.{self.namespace}.svc.{cluster_domain}"

    @property
    def security(self) -> JSON:
        return self.spec.get("securityContext") or {}

    @property
    def is_probed(self) -> bool:
        return any(container.probes for container in (*self.init_containers, *self.containers))

    @property
    def gates(self) -> list[JSON]:
        """The conditions, set by others, that it waits for to be ready."""
        wanted = {gate["conditionType"] for gate in self.spec.get("readinessGates") or ()}
        return [c for c in (self.raw.get("status") or {}).get("conditions") or () if c["type"] in wanted] if wanted else []

    def with_raw(self, raw: JSON) -> Pod:
        """The same Pod over a newer object whose spec has not changed (its status has)."""
        return dataclasses.replace(self, raw=raw)

    def every_container(self) -> tuple[Container, ...]:
        return self.init_containers + self.containers + self.ephemeral_containers

    def find(self, name: str) -> Container | None:
        return next((container for container in self.every_container() if container.name == name), None)


def parse(raw: JSON) -> Pod:
    """Return the typed view of a defaulted API object."""
    metadata, spec = raw["metadata"], raw["spec"]
    policy = RestartPolicy(spec.get("restartPolicy") or "Always")
    deletion = metadata.get("deletionTimestamp")
    grace = spec.get("terminationGracePeriodSeconds")
    return Pod(
        uid=PodUid(metadata["uid"]),
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata.get("generation", 1),
        init_containers=tuple(_init_container(item, policy) for item in spec.get("initContainers") or ()),
        containers=tuple(_container(item, Role.MAIN, policy) for item in spec["containers"]),
        ephemeral_containers=tuple(_container(item, Role.EPHEMERAL, RestartPolicy.NEVER) for item in spec.get("ephemeralContainers") or ()),
        restart_policy=policy,
        grace_seconds=30 if grace is None else int(grace),
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
        delete_by=times.parse(deletion) if deletion else None,
        share_pid=bool(spec.get("shareProcessNamespace")),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        host_network=bool(spec.get("hostNetwork")),
        host_users=spec.get("hostUsers") is not False,
        raw=raw,
    )


def _init_container(item: JSON, pod_policy: RestartPolicy) -> Container:
    if item.get("restartPolicy") == "Always":
        return _container(item, Role.SIDECAR, RestartPolicy.ALWAYS)
    # An init container that fails is retried unless the Pod, or it itself, says Never (KEP-753 keeps this for plain ones).
    policy = RestartPolicy.NEVER if pod_policy is RestartPolicy.NEVER else RestartPolicy.ON_FAILURE
    return _container(item, Role.INIT, policy)


def _container(item: JSON, role: Role, policy: RestartPolicy) -> Container:
    own: Any = item.get("restartPolicy")
    hooks: JSON = item.get("lifecycle") or {}
    return Container(
        name=item["name"],
        role=role,
        image=item.get("image", ""),
        pull_policy=item.get("imagePullPolicy") or "IfNotPresent",
        command=tuple(item.get("command") or ()),
        args=tuple(item.get("args") or ()),
        working_dir=item.get("workingDir") or "",
        stdin=bool(item.get("stdin")),
        stdin_once=bool(item.get("stdinOnce")),
        tty=bool(item.get("tty")),
        restart_policy=RestartPolicy(own) if own and role is not Role.EPHEMERAL else policy,
        restart_rules=tuple(_restart_rule(rule) for rule in item.get("restartPolicyRules") or ()),
        probes=probes.of(item),
        post_start=handlers.parse(hooks["postStart"]) if hooks.get("postStart") else None,
        pre_stop=handlers.parse(hooks["preStop"]) if hooks.get("preStop") else None,
        target=item.get("targetContainerName") or "",
        termination_message_path=item.get("terminationMessagePath") or "/dev/termination-log",
        termination_message_policy=item.get("terminationMessagePolicy") or "File",
        raw=item,
    )


def _restart_rule(rule: JSON) -> RestartRule:
    codes = rule.get("exitCodes") or {}
    return RestartRule(
        everything=rule.get("action") == "RestartAllContainers",
        codes=frozenset(codes.get("values") or ()),
        negated=codes.get("operator") == "NotIn",
    )
