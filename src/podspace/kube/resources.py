"""The kinds that are served: one table for discovery, routes, storage keys, decoding and selectors.

Called by ``api`` (discovery, routes), ``cli`` (short names) and the modules of ``kube``. It knows names and verbs only: neither
fields (``kube.schema``) nor how a verb is carried out.
Source: discovery documents of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

CRUD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_VIEW = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A path below an object. ``kind`` is what it takes or answers; ``group_version`` "" = the resource's ("policy/v1" for eviction)."""

    kind: str
    verbs: tuple[str, ...]
    group_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One served resource. ``group`` is "" for the core group; ``stored`` is False for what is only answered: reviews, bindings."""

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = CRUD
    subresources: Mapping[str, Subresource] = field(default_factory=lambda: MappingProxyType({}))
    hidden: bool = False  # answered, for clients that ask without looking, but not told of in discovery

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.kind + "List"

    @property
    def api_version(self) -> str:
        """``v1``, ``coordination.k8s.io/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``pods``, ``leases.coordination.k8s.io``: as messages and storage keys have it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """``Pod``, ``Lease.coordination.k8s.io``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def stored(self) -> bool:
        return "watch" in self.verbs


LENS_GROUP = "lens.podspace.io"  # podspace's own
METRICS_GROUP = "metrics.k8s.io"  # in clusters metrics-server's
NO_SCHEMA = (LENS_GROUP, METRICS_GROUP)  # their kinds are in no schema of Kubernetes

PODS = Resource(
    plural="pods",
    kind="Pod",
    short_names=("po",),
    categories=("all",),
    subresources=MappingProxyType(
        {
            "attach": Subresource(kind="PodAttachOptions", verbs=("create", "get")),
            "binding": Subresource(kind="Binding", verbs=("create",)),
            "ephemeralcontainers": Subresource(kind="Pod", verbs=_VIEW),
            "eviction": Subresource(kind="Eviction", verbs=("create",), group_version="policy/v1"),
            "exec": Subresource(kind="PodExecOptions", verbs=("create", "get")),
            "log": Subresource(kind="Pod", verbs=("get",)),
            "portforward": Subresource(kind="PodPortForwardOptions", verbs=("create", "get")),
            "proxy": Subresource(kind="PodProxyOptions", verbs=_PROXY),
            "resize": Subresource(kind="Pod", verbs=_VIEW),
            "status": Subresource(kind="Pod", verbs=_VIEW),
        }
    ),
)
CONFIGMAPS = Resource(plural="configmaps", kind="ConfigMap", short_names=("cm",))
SECRETS = Resource(plural="secrets", kind="Secret")
SERVICEACCOUNTS = Resource(
    plural="serviceaccounts",
    kind="ServiceAccount",
    short_names=("sa",),
    subresources=MappingProxyType({"token": Subresource(kind="TokenRequest", verbs=("create",), group_version="authentication.k8s.io/v1")}),
)
NAMESPACES = Resource(
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
    verbs=tuple(verb for verb in CRUD if verb != "deletecollection"),
    subresources=MappingProxyType(
        {"finalize": Subresource(kind="Namespace", verbs=("update",)), "status": Subresource(kind="Namespace", verbs=_VIEW)}
    ),
)
NODES = Resource(
    plural="nodes",
    kind="Node",
    namespaced=False,
    short_names=("no",),
    subresources=MappingProxyType(
        {"proxy": Subresource(kind="NodeProxyOptions", verbs=_PROXY), "status": Subresource(kind="Node", verbs=_VIEW)}
    ),
)
EVENTS = Resource(plural="events", kind="Event", short_names=("ev",))
PERSISTENTVOLUMES = Resource(
    plural="persistentvolumes",
    kind="PersistentVolume",
    namespaced=False,
    short_names=("pv",),
    subresources=MappingProxyType({"status": Subresource(kind="PersistentVolume", verbs=_VIEW)}),
)
PERSISTENTVOLUMECLAIMS = Resource(
    plural="persistentvolumeclaims",
    kind="PersistentVolumeClaim",
    short_names=("pvc",),
    subresources=MappingProxyType({"status": Subresource(kind="PersistentVolumeClaim", verbs=_VIEW)}),
)
STORAGECLASSES = Resource(plural="storageclasses", kind="StorageClass", group="storage.k8s.io", namespaced=False, short_names=("sc",))
PRIORITYCLASSES = Resource(plural="priorityclasses", kind="PriorityClass", group="scheduling.k8s.io", namespaced=False, short_names=("pc",))
RUNTIMECLASSES = Resource(plural="runtimeclasses", kind="RuntimeClass", group="node.k8s.io", namespaced=False)
SERVICES = Resource(
    plural="services",
    kind="Service",
    short_names=("svc",),
    categories=("all",),
    subresources=MappingProxyType(
        {"proxy": Subresource(kind="ServiceProxyOptions", verbs=_PROXY), "status": Subresource(kind="Service", verbs=_VIEW)}
    ),
)
LIMITRANGES = Resource(plural="limitranges", kind="LimitRange", short_names=("limits",))
RESOURCEQUOTAS = Resource(
    plural="resourcequotas",
    kind="ResourceQuota",
    short_names=("quota",),
    subresources=MappingProxyType({"status": Subresource(kind="ResourceQuota", verbs=_VIEW)}),
)
BINDINGS = Resource(plural="bindings", kind="Binding", verbs=("create",))
EVENTS_V1 = Resource(plural="events", kind="Event", group="events.k8s.io", short_names=("ev",))  # another view of the same objects
LENS = Resource(  # podspace's own: looks into running Pods; nothing of it is stored
    plural="pods",
    kind="PodLens",
    group=LENS_GROUP,
    verbs=(),
    subresources=MappingProxyType(
        {
            "audit": Subresource(kind="PodAudit", verbs=("get",)),
            "changes": Subresource(kind="PodChanges", verbs=("get",)),
            "content": Subresource(kind="PodFiles", verbs=("get",)),
            "files": Subresource(kind="PodFiles", verbs=("get",)),
            "processes": Subresource(kind="PodProcesses", verbs=("get",)),
            "signal": Subresource(kind="PodSignal", verbs=("create",)),
            "why": Subresource(kind="PodDiagnosis", verbs=("get",)),
        }
    ),
)
LENS_AUDITS = Resource(plural="podaudits", kind="PodAudit", group=LENS_GROUP, verbs=("create",))
NODE_METRICS = Resource(plural="nodes", kind="NodeMetrics", group=METRICS_GROUP, version="v1beta1", namespaced=False, verbs=("get", "list"))
POD_METRICS = Resource(plural="pods", kind="PodMetrics", group=METRICS_GROUP, version="v1beta1", verbs=("get", "list"))
LEASES = Resource(plural="leases", kind="Lease", group="coordination.k8s.io")


def _review(group: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(plural=kind.lower() + "s", kind=kind, group=group, namespaced=namespaced, verbs=("create",))


def _empty(kind: str, group: str = "") -> Resource:
    """A kind of clusters that ``cluster-info dump`` and Kubernetes' own tests list: there never is one."""
    return Resource(plural=kind.lower() + "s", kind=kind, group=group, verbs=("get", "list", "watch"), hidden=True)


RESOURCES: tuple[Resource, ...] = (
    BINDINGS,
    CONFIGMAPS,
    EVENTS,
    LIMITRANGES,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RESOURCEQUOTAS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    _review("authentication.k8s.io", "SelfSubjectReview"),
    _review("authentication.k8s.io", "TokenReview"),
    _review("authorization.k8s.io", "LocalSubjectAccessReview", namespaced=True),
    _review("authorization.k8s.io", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "SelfSubjectRulesReview"),
    _review("authorization.k8s.io", "SubjectAccessReview"),
    LEASES,
    EVENTS_V1,
    RUNTIMECLASSES,
    PRIORITYCLASSES,
    NODE_METRICS,
    POD_METRICS,
    STORAGECLASSES,
    LENS,
    LENS_AUDITS,
    _empty("ReplicationController"),
    _empty("ReplicaSet", "apps"),
    _empty("DaemonSet", "apps"),
    _empty("Deployment", "apps"),
)

_BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}
_BY_KIND = {resource.kind: resource for resource in reversed(RESOURCES) if not resource.hidden}  # Event: the core one


def lookup(group: str, version: str, plural: str) -> Resource | None:
    """The resource at ``/api/v1/<plural>`` (group "") or ``/apis/<group>/<version>/<plural>``."""
    return _BY_PATH.get((group, version, plural))


def by_kind(kind: str) -> Resource | None:
    """``Pod`` -> pods; ``Event`` is the core group's."""
    return _BY_KIND.get(kind)


def by_name(name: str) -> Resource | None:
    """What a user types: plural, singular, short name, or ``plural.group``; the core group first."""
    wanted = name.lower()
    for resource in RESOURCES:
        if not resource.hidden and wanted in (resource.plural, resource.singular, resource.qualified, *resource.short_names):
            return resource
    return None
