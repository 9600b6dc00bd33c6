"""Verdicts on the fields of resources. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, refused

_KERNEL = "conformance/pods/test_isolation.py::test_limits_are_the_kernels_and_each_pod_has_its_cgroup"
_RESIZED = "conformance/pods/test_resize.py::test_what_a_container_is_restarted_for_is_its_policys"
_ABSENT = "conformance/pods/test_resources.py::test_what_the_node_has_not_got_is_waited_for"
_POD = "conformance/pods/test_resources.py::test_a_pods_cgroup_holds_its_containers_together"
_ROOM = "conformance/pods/test_lifecycle.py::test_a_pod_that_asks_for_more_than_there_is_waits"


TYPES: Types = {
    "ContainerResizePolicy": {
        "resourceName": honoured(_RESIZED),
        "restartPolicy": honoured(_RESIZED),
    },
    "ResourceRequirements": {
        "claims": refused("there is no dynamic resource allocation"),
        "limits": honoured(_KERNEL, _POD),
        "requests": honoured(_ROOM, _ABSENT),
    },
}
