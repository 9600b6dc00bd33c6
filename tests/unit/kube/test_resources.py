"""The table of served kinds, against what a real server's discovery says."""

from __future__ import annotations

import pytest

from podspace.kube import resources


def test_pods_are_found_by_path_kind_and_what_a_user_types() -> None:
    assert resources.lookup("", "v1", "pods") is resources.PODS
    assert resources.by_kind("Pod") is resources.PODS
    for name in ("pods", "pod", "po", "Pod"):
        assert resources.by_name(name) is resources.PODS


def test_the_core_group_wins_for_event() -> None:
    assert resources.by_kind("Event") is resources.EVENTS
    assert resources.by_name("ev") is resources.EVENTS
    assert resources.lookup("events.k8s.io", "v1", "events") is resources.EVENTS_V1


def test_unknown_names_are_none() -> None:
    assert resources.lookup("", "v2", "pods") is None
    assert resources.by_kind("Deployment") is None
    assert resources.by_name("deploy") is None


@pytest.mark.parametrize(
    ("resource", "qualified"), [(resources.PODS, "pods"), (resources.LEASES, "leases.coordination.k8s.io")], ids=["core", "group"]
)
def test_the_qualified_name_carries_the_group_but_not_the_core_one(resource: resources.Resource, qualified: str) -> None:
    assert resource.qualified == qualified


def test_reviews_and_bindings_are_not_stored() -> None:
    not_stored = {resource.plural for resource in resources.RESOURCES if not resource.stored and resource.group not in resources.NO_SCHEMA}
    selves = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
    assert not_stored == {"bindings", "tokenreviews", "subjectaccessreviews", "localsubjectaccessreviews", *selves}


def test_namespaces_cannot_be_deleted_as_a_collection() -> None:
    assert "deletecollection" not in resources.NAMESPACES.verbs
