"""Tables as kubectl gets them: cells of every resource, and what a row carries along."""

from __future__ import annotations

from typing import Any

import pytest

from podspace import errors
from podspace.kube import resources, table, times
from podspace.kube.json import JSON

NOW = times.parse("2026-11-23T19:00:00Z")
CREATED = "2026-11-23T18:51:26Z"


def obj(name: str = "x", **members: Any) -> JSON:
    return {"metadata": {"name": name, "namespace": "d", "creationTimestamp": CREATED}, **members}


def cells(resource: resources.Resource, **members: Any) -> list[Any]:
    return table.cells(resource, obj(**members), NOW)


def test_every_row_has_a_cell_for_every_column() -> None:
    for resource in resources.RESOURCES:
        if resource.stored:
            assert len(table.cells(resource, obj(), NOW)) == len(table.columns(resource)), resource


def test_a_resource_without_columns_of_its_own_has_name_and_age() -> None:
    assert [column["name"] for column in table.columns(resources.SERVICEACCOUNTS)] == ["Name", "Age"]
    assert cells(resources.SERVICEACCOUNTS) == ["x", "8m34s"]


def test_an_object_without_a_creation_time_has_an_unknown_age() -> None:
    assert table.cells(resources.SERVICEACCOUNTS, {"metadata": {"name": "x"}}, NOW) == ["x", "<unknown>"]


def test_data_is_counted() -> None:
    assert cells(resources.CONFIGMAPS, data={"a": "1"}, binaryData={"b": "AA=="}) == ["x", 2, "8m34s"]
    assert cells(resources.CONFIGMAPS) == ["x", 0, "8m34s"]
    assert cells(resources.SECRETS, type="Opaque", data={"a": "AA=="}) == ["x", "Opaque", 1, "8m34s"]
    assert cells(resources.NAMESPACES, status={"phase": "Active"}) == ["x", "Active", "8m34s"]
    assert cells(resources.LEASES, spec={"holderIdentity": "node-1"}) == ["x", "node-1", "8m34s"]


@pytest.mark.parametrize(
    ("conditions", "spec", "status"),
    [
        ([{"type": "Ready", "status": "True"}], {}, "Ready"),
        ([{"type": "Ready", "status": "Unknown"}], {}, "NotReady"),
        ([{"type": "Ready", "status": "True"}], {"unschedulable": True}, "Ready,SchedulingDisabled"),
        ([], {}, "Unknown"),
    ],
)
def test_a_node_is_ready_or_not(conditions: list[JSON], spec: JSON, status: str) -> None:
    assert cells(resources.NODES, spec=spec, status={"conditions": conditions})[1] == status


def test_a_nodes_roles_come_from_labels() -> None:
    node = obj()
    node["metadata"]["labels"] = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/": "", "kubernetes.io/role": "a"}
    assert table.cells(resources.NODES, node, NOW)[2] == "a,worker"


def test_what_a_node_does_not_tell_is_unknown() -> None:
    assert cells(resources.NODES)[4:] == ["", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]


EVENT = {
    "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
    "reason": "Pulled",
    "message": " done\n",
    "type": "Normal",
    "source": {"component": "kubelet", "host": "node-1"},
    "firstTimestamp": "2026-11-23T18:00:00Z",
    "lastTimestamp": "2026-11-23T18:59:00Z",
    "count": 2,
}


def test_an_event_tells_when_what_and_about_whom() -> None:
    assert cells(resources.EVENTS, **EVENT) == [
        "60s",
        "Normal",
        "Pulled",
        "pod/p",
        "spec.containers{c}",
        "kubelet, node-1",
        "done",
        "60m",
        2,
        "x",
    ]


def test_an_event_of_the_newer_shape_reads_the_same() -> None:
    event = {
        "regarding": EVENT["involvedObject"],
        "reason": "Pulled",
        "note": "done",
        "type": "Normal",
        "reportingController": "kubelet",
        "reportingInstance": "node-1",
        "eventTime": "2026-11-23T18:00:00.000000Z",
        "series": {"count": 2, "lastObservedTime": "2026-11-23T18:59:00.000000Z"},
    }
    assert cells(resources.EVENTS_V1, **event) == cells(resources.EVENTS, **EVENT)


def test_an_event_seen_once_without_times_is_counted_once() -> None:
    row = cells(resources.EVENTS, eventTime=None, involvedObject={"kind": "Node"})
    assert (row[0], row[3], row[7], row[8]) == ("<unknown>", "node", "<unknown>", 1)


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.0.0.1"}, {}, ["ClusterIP", "10.0.0.1", "<none>", "<none>", "8m34s", "<none>"]),
        (
            {
                "type": "NodePort",
                "clusterIP": "c",
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
            },
            {},
            ["NodePort", "c", "<none>", "80:30080/TCP,53/UDP", "8m34s", "<none>"],
        ),
        (
            {"type": "ExternalName", "externalName": "example.com", "selector": {"b": "2", "a": "1"}},
            {},
            ["ExternalName", "<none>", "example.com", "<none>", "8m34s", "a=1,b=2"],
        ),
        ({"type": "LoadBalancer", "clusterIP": "c"}, {}, ["LoadBalancer", "c", "<pending>", "<none>", "8m34s", "<none>"]),
        (
            {"type": "LoadBalancer", "clusterIP": "c", "externalIPs": ["e"]},
            {"loadBalancer": {"ingress": [{"ip": "i"}, {"hostname": "h"}]}},
            ["LoadBalancer", "c", "i,h,e", "<none>", "8m34s", "<none>"],
        ),
    ],
)
def test_a_service_shows_its_addresses_and_ports(spec: JSON, status: JSON, shown: list[str]) -> None:
    assert cells(resources.SERVICES, spec=spec, status=status) == ["x", *shown]


def test_a_row_carries_what_was_asked_for() -> None:
    pod = obj(spec={"containers": []})

    def included(what: str) -> Any:
        return table.render(resources.PODS, [pod], {"resourceVersion": "7"}, NOW, what)["rows"][0]["object"]

    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": pod["metadata"]}
    assert included("Metadata") == included("") == partial
    assert included("Object") == {"kind": "Pod", "apiVersion": "v1", **pod}
    assert included("None") is None
    with pytest.raises(errors.BadRequest) as caught:
        included("Foo")
    assert str(caught.value) == (
        "Unable to convert to Table as requested: includeObject: Invalid value: \"Foo\": must be 'Metadata', 'Object', 'None', or empty"
    )


def test_later_events_of_a_watch_come_without_columns() -> None:
    rendered = table.render(resources.CONFIGMAPS, [obj()], {"resourceVersion": "7"}, NOW, with_columns=False)
    assert rendered["columnDefinitions"] is None
    assert list(rendered) == ["kind", "apiVersion", "metadata", "columnDefinitions", "rows"]
