"""The ServiceAccount tokens a Pod's projected volumes show: signed when first wanted, and anew long before they run out.

Owned by one Pod's worker, in memory only: after a restart of the server the Pod gets new ones. What a token says, and the key, are
``tokens``'. Source: kubelet pkg/kubelet/token/token_manager.go (a new one after 80% of its time, and once a day).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from podspace import tokens
from podspace.kube.json import JSON
from podspace.node import environment
from podspace.node.environment import ConfigError
from podspace.node.pod import Pod

RENEWED_AFTER = 0.8  # of its life
LONGEST_SECONDS = 24 * 3600.0

_Key = tuple[str, int]  # audience, "" = the API server's; seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    token: str
    renew_at: float  # time.monotonic


@dataclass(slots=True, kw_only=True)
class PodTokens:
    """Mutable, owned by one worker."""

    held: dict[_Key, _Held] = field(default_factory=dict)

    def renew(self, pod: Pod, signer: tokens.Signer, lookup: environment.Lookup, *, now: float, clock: float) -> None:
        """Sign what is missing or due. ``now``: Unix seconds; ``clock``: ``time.monotonic``.  Raises: ConfigError without the account."""
        for key in {_key(source) for source in _sources(pod)}:
            current = self.held.get(key)
            if current is None or current.renew_at <= clock:
                self.held[key] = _issue(pod, key, signer, lookup, now, clock)

    def text(self, pod: Pod, source: JSON) -> str:
        """The token of one source; ``renew`` was called before."""
        return self.held[_key(source)].token

    @property
    def due(self) -> float | None:
        """When the first of them is to be renewed, by ``time.monotonic``."""
        return min((held.renew_at for held in self.held.values()), default=None)

    def is_due(self, clock: float) -> bool:
        return self.due is not None and self.due <= clock


def _key(source: JSON) -> _Key:
    return source.get("audience") or "", int(source.get("expirationSeconds") or tokens.DEFAULT_SECONDS)


def _sources(pod: Pod) -> Iterator[JSON]:
    for volume in pod.spec.get("volumes") or ():
        for part in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in part:
                yield part["serviceAccountToken"]


def _issue(pod: Pod, key: _Key, signer: tokens.Signer, lookup: environment.Lookup, now: float, clock: float) -> _Held:
    audience, seconds = key
    name = str(pod.spec.get("serviceAccountName") or "default")
    account = lookup("serviceaccounts", pod.namespace, name)
    if account is None:
        raise ConfigError(f'failed to fetch token: serviceaccounts "{name}" not found')
    node = lookup("nodes", "", str(pod.spec.get("nodeName") or ""))
    token, _ = signer.issue(
        pod.namespace,
        tokens.Reference(name=name, uid=account["metadata"]["uid"]),
        now=now,
        seconds=seconds,
        audiences=(audience,) if audience else (tokens.DEFAULT_AUDIENCE,),
        pod=tokens.Reference(name=pod.name, uid=pod.uid),
        node=tokens.Reference(name=node["metadata"]["name"], uid=node["metadata"]["uid"]) if node else None,
    )
    return _Held(token=token, renew_at=clock + min(seconds * RENEWED_AFTER, LONGEST_SECONDS))
