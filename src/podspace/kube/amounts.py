"""Sums of resources: what a Pod asks for and is limited to as a whole, exactly and in the spelling of its quantities.

Called by ``defaults``, ``limits``, ``quotas`` and ``validation_resources``. Pure.
Source: k8s.io/component-helpers resource PodRequests and PodLimits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from podspace.kube import quantity
from podspace.kube.json import JSON
from podspace.kube.quantity import Quantity

Amounts = dict[str, Quantity]
Side = Literal["requests", "limits"]
ZERO = Quantity(nanos=0)


def of(values: JSON | None) -> Amounts:
    """A resource list of the API."""
    return {name: quantity.parse(str(value)) for name, value in (values or {}).items()}


def spelled(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    """As the API shows it."""
    return {name: amount.canonical() for name, amount in sorted(amounts.items())}


def plus(left: Amounts, right: Amounts) -> Amounts:
    """Name by name; the spelling is that of the first."""
    result = dict(left)
    for name, amount in right.items():
        before = result.get(name)
        result[name] = amount if before is None or not before.nanos else Quantity(nanos=before.nanos + amount.nanos, family=before.family)
    return result


def largest(left: Amounts, right: Amounts) -> Amounts:
    """Name by name the greater."""
    result = dict(left)
    for name, amount in right.items():
        if name not in result or amount.nanos > result[name].nanos:
            result[name] = amount
    return result


def of_containers(spec: JSON, side: Side) -> Amounts:
    """Of all containers and sidecars, or of an init container beside the sidecars before it."""
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = of((container.get("resources") or {}).get(side))
        if container.get("restartPolicy") == "Always":
            sidecars = plus(sidecars, own)
            own = {}
        peak = largest(peak, plus(sidecars, own))
    together = sidecars
    for container in spec.get("containers") or ():
        together = plus(together, of((container.get("resources") or {}).get(side)))
    return largest(together, peak)


def of_pod(spec: JSON, side: Side) -> Amounts:
    """Of its containers; what the Pod says as a whole wins. Overhead is added."""
    total = of_containers(spec, side) | of((spec.get("resources") or {}).get(side))
    overhead = of(spec.get("overhead"))
    return plus(total, overhead if side == "requests" else {name: amount for name, amount in overhead.items() if name in total})
