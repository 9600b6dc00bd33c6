"""Which volume a claim gets, who uses it, what keeps a Pod waiting, and how claims and volumes go through their phases."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from podspace.kube import admission, defaults
from podspace.node import claim_controller, claim_objects, claim_volumes, claims
from podspace.node.environment import ConfigError
from podspace.node.recorder import Recorder
from podspace.store.store import Store
from tests.unit.node import builders

Object = dict[str, Any]
NODE: Object = {"metadata": {"name": "n", "uid": "n", "labels": {"kubernetes.io/hostname": "n", "disk": "ssd"}}, "spec": {}}


def claim(name: str = "c", size: str = "1Gi", **spec: Any) -> Object:
    made = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "volumeMode": "Filesystem"} | spec
    metadata = {"name": name, "namespace": "default", "uid": f"{name}-uid", "finalizers": [claim_objects.CLAIM_PROTECTION]}
    return {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": metadata, "spec": made, "status": {"phase": "Pending"}}


def volume(name: str, size: str = "1Gi", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    made = {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size}, "hostPath": {"path": f"/srv/{name}"}} | spec
    metadata = {"name": name, "uid": f"{name}-uid", "labels": labels or {}, "finalizers": [claim_objects.VOLUME_PROTECTION]}
    obj = {"kind": "PersistentVolume", "apiVersion": "v1", "metadata": metadata, "spec": made, "status": {"phase": "Pending"}}
    defaults.apply("PersistentVolume", obj)
    return obj


def user(*names: str, phase: str = "Running", uid: str = "u", **spec: Any) -> Object:
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    raw = copy.deepcopy(builders.pod({"volumes": volumes} | spec, uid=uid, name=f"p-{uid}").raw)
    raw["status"]["phase"] = phase
    return raw


def best(wanted: Object, *volumes: Object) -> str | None:
    found = claims.best_volume(wanted, volumes, NODE)
    return str(found["metadata"]["name"]) if found else None


def elsewhere(value: str) -> Object:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": [value]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def test_the_smallest_volume_that_fits_is_bound() -> None:
    assert best(claim(), volume("big", "5Gi"), volume("right"), volume("small", "1Mi")) == "right"
    assert best(claim(), volume("a", "2Gi"), volume("kept", "5Gi", claimRef={"namespace": "default", "name": "c"})) == "kept"


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        (claim(), volume("v", claimRef={"namespace": "default", "name": "other"})),
        (claim(), volume("v", claimRef={"namespace": "default", "name": "c", "uid": "an earlier one"})),
        (claim(), volume("v", storageClassName="fast")),
        (claim(storageClassName="fast"), volume("v")),
        (claim(accessModes=["ReadWriteMany"]), volume("v")),
        (claim(volumeMode="Block"), volume("v")),
        (claim(selector={"matchLabels": {"a": "b"}}), volume("v", labels={"a": "c"})),
        (claim(selector={"matchExpressions": [{"key": "a", "operator": "Exists"}]}), volume("v")),
        (claim(volumeName="w"), volume("v")),
        (claim(), volume("v", nodeAffinity=elsewhere("hdd"))),
    ],
)
def test_what_does_not_fit_is_not_bound(wanted: Object, offered: Object) -> None:
    assert best(wanted, offered) is None


def test_what_a_claim_asks_for_is_bound() -> None:
    assert best(claim(storageClassName="fast"), volume("v", storageClassName="fast")) == "v"
    assert best(claim(selector={"matchLabels": {"a": "b"}}), volume("v", labels={"a": "b"})) == "v"
    assert best(claim(), volume("v", nodeAffinity=elsewhere("ssd"))) == "v"


def test_finished_pods_do_not_use_their_claims_any_more() -> None:
    everybody = [user("c", uid="1"), user("c", uid="2", phase="Succeeded"), user("d", uid="3"), user("c", uid="4", phase="Failed")]
    assert [pod["metadata"]["uid"] for pod in claims.users(claim(), everybody)] == ["1"]


def bound(name: str = "c", to: str = "v", **spec: Any) -> Object:
    made = claim(name, volumeName=to, **spec)
    made["status"] = {"phase": "Bound"}
    return made


def obstacle(pod: Object, *objects: Object, others: tuple[Object, ...] = ()) -> str | None:
    found = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
    kinds = {claims.CLAIMS: "PersistentVolumeClaim", claims.VOLUMES: "PersistentVolume"}
    return claims.obstacle(pod, lambda resource, _, name: found.get((kinds[resource], name)), NODE, others)


def test_a_pod_waits_for_its_claims_in_the_schedulers_words() -> None:
    deleted = bound()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    lost = bound()
    lost["status"] = {"phase": "Lost"}
    single = bound(accessModes=["ReadWriteOncePod"])
    other = user("c", uid="other")
    assert obstacle(user("c"), bound(), volume("v")) is None
    assert obstacle(user("c")) == 'persistentvolumeclaim "c" not found.'
    assert obstacle(user("c"), claim()) == "pod has unbound immediate PersistentVolumeClaims."
    assert obstacle(user("c"), deleted, volume("v")) == 'persistentvolumeclaim "c" is being deleted.'
    assert obstacle(user("c"), lost) == 'persistentvolumeclaim "c" bound to non-existent persistentvolume "v".'
    assert obstacle(user("c"), bound(), volume("v", nodeAffinity=elsewhere("hdd"))) == (
        "1 node(s) didn't match PersistentVolume's node affinity."
    )
    words = "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode."
    assert obstacle(user("c"), single, volume("v"), others=(other,)) == words
    assert obstacle(user("c"), single, volume("v"), others=(user("c"),)) is None


def test_an_ephemeral_volumes_claim_must_be_the_pods_own() -> None:
    pod = user(volumes=[{"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": claim()["spec"]}}}])
    made = claim_objects.ephemeral_claim(pod, pod["spec"]["volumes"][0], "2026-01-01T00:00:00Z")
    assert made["metadata"]["name"] == "p-u-e"
    assert claims.is_owned(made, pod)
    strange = claim("p-u-e")
    assert obstacle(pod, strange) == "PVC default/p-u-e was not created for pod default/p-u (pod is not owner)."
    assert obstacle(pod) == 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-u-e".'


def find(*objects: Object, **mounts: Any) -> claim_volumes.Found:
    container = {"name": "a", "image": "x"} | mounts
    pod = builders.pod({"containers": [container], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]})
    known = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
    kinds = {claims.CLAIMS: "PersistentVolumeClaim", claims.VOLUMES: "PersistentVolume", "nodes": "Node"}
    use = next(claims.used_by(pod.raw))
    return claim_volumes.find(pod, use, lambda resource, _, name: known.get((kinds[resource], name)))


def test_a_claim_leads_to_the_path_of_its_volume(tmp_path: Path) -> None:
    here = claim_objects.reference(claim())
    offered = volume("v", local={"path": str(tmp_path)}, claimRef=here)
    del offered["spec"]["hostPath"]
    assert find(bound(), offered) == claim_volumes.Found(tmp_path, block=False, shareable=True)
    host = volume("v", hostPath={"path": str(tmp_path)}, claimRef=here)
    assert find(bound(), host) == claim_volumes.Found(tmp_path, block=False, shareable=False)


def test_a_claim_that_leads_nowhere_is_told_in_the_kubelets_words() -> None:
    prefix = (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: "
        "error processing PVC default/c: "
    )
    here = claim_objects.reference(claim())
    nfs = volume("v", nfs={"server": "s", "path": "/"}, claimRef=here)
    del nfs["spec"]["hostPath"]
    device = [{"name": "v", "devicePath": "/dev/x"}]
    cases: list[tuple[list[Object], dict[str, Any], str]] = [
        ([], {}, prefix + 'failed to fetch PVC from API server: persistentvolumeclaims "c" not found'),
        ([claim()], {}, prefix + "PVC is not bound"),
        ([bound()], {}, prefix + 'failed to fetch PV v from API server: persistentvolumes "v" not found'),
        ([bound(), nfs], {}, "PersistentVolume v is of kind nfs, which needs a cluster's storage"),
        (
            [bound(), volume("v", claimRef=here)],
            {"volumeDevices": device},
            prefix + "volume v has volumeMode Filesystem, but is specified in volumeDevices",
        ),
        ([bound(), volume("v", claimRef=here, mountOptions=["ro"])], {}, "Mount options are not supported for this volume type"),
    ]
    for objects, mounts, message in cases:
        with pytest.raises(ConfigError) as caught:
            find(*objects, **mounts)
        assert str(caught.value).endswith(message)


Steps = Callable[[Store, claim_controller.ClaimController], Coroutine[Any, Any, None]]


def run(tmp_path: Path, steps: Steps) -> None:
    async def main() -> None:
        with Store.open(tmp_path / "store.db") as store:
            controller = claim_controller.ClaimController(store, Recorder(store, component="c"), folder=tmp_path / "volumes", node_name="n")
            await store.create("nodes", NODE)
            await controller.furnish()
            await steps(store, controller)

    asyncio.run(main())


def phases(store: Store) -> tuple[list[str], list[str]]:
    claimed, volumes = ([obj["status"]["phase"] for obj in store.list(resource)[0]] for resource in (claims.CLAIMS, claims.VOLUMES))
    return claimed, volumes


async def create_claim(store: Store, obj: Object) -> None:
    await store.create(claims.CLAIMS, admission.with_default_class(obj, store.list(claims.CLASSES)[0]))


def test_a_claim_of_the_default_class_is_provided_for_grows_and_takes_its_folder_along(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        await create_claim(store, claim())
        await controller.settle()
        assert phases(store) == (["Bound"], ["Bound"])
        (provided,) = store.list(claims.VOLUMES)[0]
        folder = Path(provided["spec"]["local"]["path"])
        assert folder == tmp_path / "volumes" / "pvc-c-uid"
        assert folder.stat().st_mode & 0o777 == 0o777
        (folder / "data").write_text("")
        larger = {"requests": {"storage": "3Gi"}}
        await store.mutate(claims.CLAIMS, "default", "c", lambda old: old | {"spec": old["spec"] | {"resources": larger}})
        await controller.settle()
        assert store.list(claims.CLAIMS)[0][0]["status"]["capacity"] == {"storage": "3Gi"}
        await store.create("pods", user("c"))
        await store.mutate(claims.CLAIMS, "default", "c", deleting)
        await controller.settle()
        assert phases(store) == (["Bound"], ["Bound"]), "a claim in use stays"
        await store.delete("pods", "default", "p-u")
        for _ in range(3):
            await controller.settle()
        assert phases(store) == ([], [])
        assert not folder.exists()
        assert controller._doomed.get_nowait() == tmp_path / "volumes" / "deleted-pvc-c-uid"
        controller._remove_strangers()
        assert list((tmp_path / "volumes").iterdir()) == [], "what a crash left half deleted"

    run(tmp_path, steps)


def deleting(old: Object) -> Object:
    return old | {"metadata": old["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}}


def test_a_volume_that_was_there_is_kept_when_its_claim_goes(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        await store.create(claims.VOLUMES, volume("v", storageClassName="manual"))
        await controller.settle()
        assert phases(store) == ([], ["Available"])
        await store.create(claims.CLAIMS, claim(storageClassName="manual"))
        await controller.settle()
        assert phases(store) == (["Bound"], ["Bound"])
        await store.mutate(claims.CLAIMS, "default", "c", deleting)
        await controller.settle()
        assert phases(store) == ([], ["Released"])
        await store.create(claims.CLAIMS, claim("d", storageClassName="manual"))
        await controller.settle()
        assert phases(store) == (["Pending"], ["Released"])
        await store.mutate(claims.VOLUMES, "", "v", deleting)
        await controller.settle()
        assert phases(store) == (["Pending"], [])

    run(tmp_path, steps)


def test_a_start_deletes_no_data_that_was_to_be_retained(tmp_path: Path) -> None:
    """Its PersistentVolume was deleted by hand, or is another one now, or all are lost: the folder is still somebody's."""

    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        folder = tmp_path / "volumes"
        for name in ("pvc-retained", "pvc-used-anew", "pvc-never-finished", "deleted-pvc-old"):
            (folder / name).mkdir(parents=True)
        for name in ("pvc-retained", "deleted-pvc-old"):
            (folder / name / "data").write_text("")
        anew = volume("anew")
        anew["spec"] = {key: value for key, value in anew["spec"].items() if key != "hostPath"} | {
            "local": {"path": str(folder / "pvc-used-anew")}
        }
        await store.create(claims.VOLUMES, anew)
        controller._remove_strangers()
        assert sorted(path.name for path in folder.iterdir()) == ["pvc-retained", "pvc-used-anew"]

    run(tmp_path, steps)


def test_one_object_that_makes_trouble_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        async def trouble(obj: Object) -> None:
            raise KeyError(obj["metadata"]["name"])

        monkeypatch.setattr(controller, "_look_at_volume", trouble)
        await store.create(claims.VOLUMES, volume("a-odd"))
        await create_claim(store, claim())
        await create_claim(store, claim("d", storageClassName="local-path"))
        await controller.settle()
        assert phases(store)[0] == ["Bound", "Bound"]
        assert controller._changed.is_set()

    run(tmp_path, steps)
    assert "PersistentVolume /a-odd: a bug in podspace" in caplog.text


def test_a_volume_that_only_says_it_is_ours_is_not_deleted(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        gone = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "gone", "uid": "gone"}
        strange = volume("strange", claimRef=gone, persistentVolumeReclaimPolicy="Delete", hostPath={"path": str(tmp_path / "kept")})
        strange["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": claim_objects.PROVISIONER}
        (tmp_path / "kept").mkdir()
        await store.create(claims.VOLUMES, strange)
        await controller.settle()
        assert phases(store) == ([], ["Failed"])
        assert (tmp_path / "kept").is_dir()

    run(tmp_path, steps)


def test_a_crash_between_the_two_halves_of_a_binding_is_made_good(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        await create_claim(store, claim())
        await controller.settle()
        unbound = {"phase": "Pending"}
        await store.mutate(claims.CLAIMS, "default", "c", lambda old: old | {"status": unbound, "spec": {**old["spec"], "volumeName": ""}})
        await controller.settle()
        assert phases(store) == (["Bound"], ["Bound"])
        (tmp_path / "volumes" / "pvc-stranger").mkdir()
        controller._remove_strangers()
        assert [path.name for path in (tmp_path / "volumes").iterdir()] == ["pvc-c-uid"]

    run(tmp_path, steps)


def test_a_claim_that_has_lost_its_volume_says_so(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        await create_claim(store, claim())
        await controller.settle()
        await store.delete(claims.VOLUMES, "", "pvc-c-uid")
        await controller.settle()
        assert phases(store) == (["Lost"], [])

    run(tmp_path, steps)


def test_an_ephemeral_claim_comes_and_goes_with_its_pod(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        pod = user(volumes=[{"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": claim()["spec"]}}}])
        await store.create("pods", pod)
        await controller.settle()
        assert phases(store) == (["Bound"], ["Bound"])
        await store.delete("pods", "default", "p-u")
        for _ in range(3):
            await controller.settle()
        assert phases(store) == ([], [])

    run(tmp_path, steps)


@pytest.mark.parametrize(
    ("wanted", "storage_class", "message"),
    [
        (claim(storageClassName=""), None, "no persistent volumes available for this claim and no storage class is set"),
        (claim(storageClassName="none"), None, 'storageclass.storage.k8s.io "none" not found'),
        (claim(storageClassName="s"), {"provisioner": "ebs.csi.aws.com"}, "Waiting for a volume to be created either by the external"),
        (
            claim(storageClassName="s"),
            {"provisioner": claim_objects.PROVISIONER, "volumeBindingMode": "WaitForFirstConsumer"},
            "waiting for first consumer to be created before binding",
        ),
        (claim(storageClassName="local-path", volumeMode="Block"), None, "folders are no block devices"),
        (claim(storageClassName="local-path", selector={"matchLabels": {}}), None, "claim Selector is not supported"),
        (
            claim(storageClassName="local-path", dataSource={"kind": "PersistentVolumeClaim", "name": "x"}),
            None,
            "spec.dataSource: volumes are not filled from other objects",
        ),
    ],
)
def test_a_claim_that_nobody_provides_for_says_why(tmp_path: Path, wanted: Object, storage_class: Object | None, message: str) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        if storage_class is not None:
            await store.create(claims.CLASSES, {"kind": "StorageClass", "metadata": {"name": "s", "uid": "s"}, **storage_class})
        await store.create(claims.CLAIMS, wanted)
        await controller.settle()
        assert phases(store) == (["Pending"], [])
        assert message in controller._told["c-uid"]

    run(tmp_path, steps)


def test_a_class_that_waits_for_a_pod_is_provided_for_when_there_is_one(tmp_path: Path) -> None:
    async def steps(store: Store, controller: claim_controller.ClaimController) -> None:
        lazy = {"provisioner": claim_objects.PROVISIONER, "volumeBindingMode": "WaitForFirstConsumer"}
        await store.create(claims.CLASSES, {"kind": "StorageClass", "metadata": {"name": "s", "uid": "s"}, **lazy})
        await store.create(claims.CLAIMS, claim(storageClassName="s"))
        await store.create("pods", user("c", phase="Pending"))
        await controller.settle()
        assert phases(store) == (["Bound"], ["Bound"])

    run(tmp_path, steps)
