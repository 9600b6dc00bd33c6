"""What is refused of claims, volumes and classes, in the API server's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podspace import errors
from podspace.kube import admission, defaults, storage, table_cells, times, validation, validation_warnings

CLAIM: dict[str, Any] = {
    "kind": "PersistentVolumeClaim",
    "apiVersion": "v1",
    "metadata": {"name": "c", "namespace": "default"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
VOLUME: dict[str, Any] = {
    "kind": "PersistentVolume",
    "apiVersion": "v1",
    "metadata": {"name": "v"},
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/srv"}},
}
CLASS: dict[str, Any] = {"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": "s"}, "provisioner": "a.example/b"}


def changed(obj: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made = copy.deepcopy(obj)
    holder = made.get("spec", made)
    holder.update(fields)
    for name, value in fields.items():
        if value is None:
            del holder[name]
    defaults.apply(made["kind"], made)
    return made


def said(obj: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validation.validate_create(obj["kind"], obj)]


def test_what_may_be_left_out_is_filled_in() -> None:
    assert said(changed(CLAIM)) == said(changed(VOLUME)) == said(changed(CLASS)) == []
    assert changed(CLAIM)["spec"]["volumeMode"] == "Filesystem"
    assert changed(VOLUME)["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert changed(VOLUME)["spec"]["hostPath"]["type"] == ""
    assert changed(CLASS)["reclaimPolicy"] == "Delete"
    assert changed(CLASS)["volumeBindingMode"] == "Immediate"


@pytest.mark.parametrize(
    ("obj", "fields", "message"),
    [
        (CLAIM, {"accessModes": []}, "spec.accessModes: Required value: at least 1 access mode is required"),
        (
            CLAIM,
            {"accessModes": ["Read"]},
            'spec.accessModes: Unsupported value: "Read": supported values: '
            '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
        ),
        (
            CLAIM,
            {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ),
        (CLAIM, {"resources": {}}, "spec.resources[storage]: Required value"),
        (
            CLAIM,
            {"resources": {"requests": {"storage": "0"}}},
            'spec.resources[storage]: Invalid value: "0": must be greater than zero',
        ),
        (CLAIM, {"volumeMode": "X"}, 'spec.volumeMode: Unsupported value: "X": supported values: "Block", "Filesystem"'),
        (VOLUME, {"capacity": {}}, "spec.capacity: Required value"),
        (VOLUME, {"hostPath": None}, "spec: Required value: must specify a volume type"),
        (VOLUME, {"nfs": {"server": "s", "path": "/"}}, "spec.nfs: Forbidden: may not specify more than 1 volume type"),
        (VOLUME, {"hostPath": None, "local": {"path": "/x"}}, "spec.nodeAffinity: Required value: Local volume requires node affinity"),
        (CLASS, {"provisioner": ""}, "provisioner: Required value"),
        (CLASS, {"reclaimPolicy": "X"}, 'reclaimPolicy: Unsupported value: "X": supported values: "Delete", "Retain"'),
    ],
)
def test_what_is_wrong_is_told(obj: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    assert message in said(changed(obj, **fields))


def bound(**fields: Any) -> dict[str, Any]:
    made = changed(CLAIM, **({"volumeName": "v", "storageClassName": "s"} | fields))
    made["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    made["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return made


def update(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    causes = validation.validate_update(new["kind"], new, old)
    return [f"{cause.field}: {cause.message}".splitlines()[0] for cause in causes]


def test_a_bound_claim_may_grow_and_do_nothing_else() -> None:
    larger, smaller = ({"requests": {"storage": size}} for size in ("2Gi", "1Mi"))
    assert update(bound(resources=larger), bound()) == []
    assert update(bound(resources=smaller), bound(resources=larger)) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
    words = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    assert update(bound(accessModes=["ReadWriteMany"]), bound()) == [words]
    assert update(bound(volumeName="other"), bound()) == [words]


def test_a_claim_without_a_volume_may_be_given_one() -> None:
    waiting = bound(volumeName=None)
    waiting["status"] = {"phase": "Pending"}
    assert update(bound(), waiting) == []


def test_a_claim_that_names_no_class_gets_the_default_one() -> None:
    default = CLASS | {"metadata": {"name": "d", "annotations": {storage.DEFAULT_CLASS: "true"}}}
    claim = changed(CLAIM)
    admission.admit_claim(claim, [CLASS, default])
    assert claim["spec"]["storageClassName"] == "d"
    for own in ("", "mine"):
        claim = changed(CLAIM, storageClassName=own)
        admission.admit_claim(claim, [default])
        assert claim["spec"]["storageClassName"] == own
    claim = changed(CLAIM)
    admission.admit_claim(claim, [CLASS])
    assert "storageClassName" not in claim["spec"]


def test_a_claim_grows_only_if_its_class_lets_it() -> None:
    larger = bound(resources={"requests": {"storage": "2Gi"}})
    admission.admit_claim_update(larger, bound(), [CLASS | {"allowVolumeExpansion": True}])
    with pytest.raises(errors.Forbidden, match='persistentvolumeclaims "c" is forbidden: only dynamically provisioned pvc can be resized'):
        admission.admit_claim_update(larger, bound(), [CLASS])
    admission.admit_claim_update(bound(), larger, [CLASS])


def test_what_is_deprecated_is_told() -> None:
    recycled = changed(VOLUME, persistentVolumeReclaimPolicy="Recycle")
    assert validation.warnings("PersistentVolume", recycled)[0].startswith("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy")
    old = changed(CLAIM)
    old["metadata"]["annotations"] = {storage.CLASS_ANNOTATION: "s"}
    assert "deprecated since v1.8" in validation.warnings("PersistentVolumeClaim", old)[0]
    assert validation.warnings("PersistentVolumeClaim", changed(CLAIM)) == []
    projected = {"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}}
    words = "spec.volumes[0].projected.sources[0].clusterTrustBundle: dropped, because its feature gate is off"
    assert validation_warnings.before_defaults({"spec": {"volumes": [projected]}}) == [words]


def test_tables_show_them_as_kubectl_users_know_them() -> None:
    age = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    claim = bound()
    claim["status"]["accessModes"] = ["ReadWriteOnce"]
    now = times.parse("2026-01-01T00:01:30Z")
    assert table_cells.of("persistentvolumeclaims", claim, now) == [
        "c", "Bound", "v", "1Gi", "RWO", "s", "<unset>", "90s", "Filesystem"
    ]  # fmt: skip
    volume = changed(VOLUME, claimRef={"namespace": "default", "name": "c"})
    volume["metadata"] |= age
    volume["status"] = {"phase": "Bound"}
    assert table_cells.of("persistentvolumes", volume, now) == [
        "v", "1Gi", "RWO", "Retain", "Bound", "default/c", "", "<unset>", "", "90s", "Filesystem"
    ]  # fmt: skip
    volume["spec"]["claimRef"] = {"name": "c"}
    assert table_cells.of("persistentvolumes", volume, now)[5] == "/c", "as it was let in"
    default = changed(CLASS)
    default["metadata"] = {"name": "s", "annotations": {storage.DEFAULT_CLASS: "true"}} | age
    assert table_cells.of("storageclasses.storage.k8s.io", default, now) == [
        "s (default)", "a.example/b", "Delete", "Immediate", "false", "90s"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ([{"name": "v", "emptyDir": {}}], None),
        ([], 'Not found: "v"'),
        ([{"name": "v", "configMap": {"name": "c"}}], 'Invalid value: "v": referenced volume must be of type emptyDir'),
    ],
)
def test_a_file_of_variables_is_read_from_an_empty_dir(volumes: list[Any], message: str | None) -> None:
    variable = {"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "x.env", "key": "A"}}}
    container = {"name": "a", "image": "x", "env": [variable]}
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": "d"},
        "spec": {"containers": [container], "volumes": volumes},
    }
    defaults.apply("Pod", pod)
    field = "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName"
    assert said(pod) == ([] if message is None else [f"{field}: {message}"])
