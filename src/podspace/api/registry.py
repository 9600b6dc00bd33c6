"""Which strategy is whose.

Called by ``dispatch`` and by whoever writes an object outside a request (namespace clean-up). Nothing but a table.
"""

from __future__ import annotations

from podspace.api.strategy import LeaseStrategy, QuotaStrategy, ServiceAccountStrategy, ServiceStrategy, Strategy
from podspace.api.strategy_cluster import EventStrategy, EventViewStrategy, NamespaceStrategy, NodeStrategy
from podspace.api.strategy_pod import PodStrategy
from podspace.api.strategy_storage import ClaimStrategy, StorageClassStrategy, VolumeStrategy
from podspace.kube import resources

_CLASSES: dict[str, type[Strategy]] = {
    "pods": PodStrategy,
    "namespaces": NamespaceStrategy,
    "nodes": NodeStrategy,
    "resourcequotas": QuotaStrategy,
    "services": ServiceStrategy,
    "persistentvolumes": VolumeStrategy,
    "persistentvolumeclaims": ClaimStrategy,
    "storageclasses.storage.k8s.io": StorageClassStrategy,
    "serviceaccounts": ServiceAccountStrategy,
    "leases.coordination.k8s.io": LeaseStrategy,
    "events": EventStrategy,
    "events.events.k8s.io": EventViewStrategy,
}

_BY_QUALIFIED = {
    resource.qualified: _CLASSES.get(resource.qualified, Strategy)(resource) for resource in resources.RESOURCES if resource.stored
}


def of(resource: resources.Resource) -> Strategy:
    """The strategy of a stored resource."""
    return _BY_QUALIFIED[resource.qualified]


def namespaced() -> list[Strategy]:
    """Those of every kind that lives in a namespace, each stored kind once."""
    return [strategy for strategy in _BY_QUALIFIED.values() if strategy.resource.namespaced and strategy.key == strategy.resource.qualified]
