"""Verdicts on the fields of volumes. How to change one: ``verdict``."""

from __future__ import annotations

from typing import Any

from podspace.kube.fields.verdict import Types, honoured, kept, refused, refused_by_api

_LIVE = "conformance/pods/test_environment.py::test_volumes_follow_their_objects"
_MADE = "conformance/pods/test_environment.py::test_volumes_made_of_objects"
_MEMORY = "conformance/pods/test_environment.py::test_a_volume_in_memory_is_a_tmpfs_of_its_size"
_PATHS = "conformance/pods/test_volumes.py::test_a_path_of_the_host_is_what_its_type_says"
_CLAIM = "conformance/pods/test_claims.py::test_a_claim_is_bound_used_and_given_back"
_EPHEMERAL = "conformance/pods/test_claims.py::test_a_claim_of_a_pods_own_comes_and_goes_with_it"
_FITS = "unit/node/test_claims.py::test_what_a_claim_asks_for_is_bound"
_IMAGE = "conformance/pods/test_volumes.py::test_what_an_image_holds_is_mounted"
_TOKEN = "conformance/pods/test_volumes.py::test_a_token_is_signed_for_its_pod_and_kept_in_memory"
_HUGE = "unit/node/test_volume_folders.py::test_huge_pages_are_of_the_size_the_pod_asks_for"


_NOT_IN_TEMPLATE = refused_by_api("cannot be set")


def _cluster(kind: str) -> Any:
    return refused(f"{kind} volumes need a cluster's storage")


TYPES: Types = {
    "ConfigMapProjection": {
        "items": honoured(_MADE),
        "name": honoured(_MADE),
        "optional": honoured(_LIVE),
    },
    "ConfigMapVolumeSource": {
        "defaultMode": honoured(_MADE),
        "items": honoured(_MADE),
        "name": honoured(_MADE),
        "optional": honoured(_LIVE),
    },
    "DownwardAPIProjection": {
        "items": honoured(_MADE),
    },
    "DownwardAPIVolumeFile": {
        "fieldRef": honoured(_MADE),
        "mode": honoured(_MADE),
        "path": honoured(_MADE),
        "resourceFieldRef": honoured(_MADE),
    },
    "DownwardAPIVolumeSource": {
        "defaultMode": honoured(_MADE),
        "items": honoured(_MADE),
    },
    "EmptyDirVolumeSource": {
        "medium": honoured(_MEMORY, _HUGE),
        "sizeLimit": honoured(_MEMORY, "conformance/pods/test_eviction.py::test_who_takes_too_much_of_the_disk_is_evicted"),
    },
    "EphemeralVolumeSource": {
        "volumeClaimTemplate": honoured(_EPHEMERAL),
    },
    "HostPathVolumeSource": {
        "path": honoured(_PATHS),
        "type": honoured(_PATHS),
    },
    "ImageVolumeSource": {
        "pullPolicy": honoured("conformance/pods/test_volumes.py::test_an_image_that_cannot_be_mounted_holds_the_container"),
        "reference": honoured(_IMAGE),
    },
    "KeyToPath": {
        "key": honoured(_MADE),
        "mode": honoured(_MADE),
        "path": honoured(_MADE),
    },
    "LocalObjectReference": {
        "name": honoured("conformance/pods/test_images.py::test_a_registry_that_wants_a_password"),
    },
    "ObjectMeta": {
        "annotations": honoured(_EPHEMERAL),
        "creationTimestamp": _NOT_IN_TEMPLATE,
        "deletionGracePeriodSeconds": _NOT_IN_TEMPLATE,
        "deletionTimestamp": _NOT_IN_TEMPLATE,
        "finalizers": _NOT_IN_TEMPLATE,
        "generateName": _NOT_IN_TEMPLATE,
        "generation": _NOT_IN_TEMPLATE,
        "labels": honoured(_EPHEMERAL),
        "managedFields": _NOT_IN_TEMPLATE,
        "name": _NOT_IN_TEMPLATE,
        "namespace": _NOT_IN_TEMPLATE,
        "ownerReferences": _NOT_IN_TEMPLATE,
        "resourceVersion": _NOT_IN_TEMPLATE,
        "selfLink": _NOT_IN_TEMPLATE,
        "uid": _NOT_IN_TEMPLATE,
    },
    "PersistentVolumeClaimSpec": {
        "accessModes": honoured("unit/node/test_claims.py::test_what_does_not_fit_is_not_bound"),
        "dataSource": refused("volumes are not filled from other objects"),
        "dataSourceRef": refused("volumes are not filled from other objects"),
        "resources": honoured(_FITS),
        "selector": honoured(_FITS),
        "storageClassName": honoured(_FITS),
        "volumeAttributesClassName": refused("there are no classes of volume attributes"),
        "volumeMode": honoured("conformance/pods/test_claims.py::test_a_block_device_is_given_by_a_claim"),
        "volumeName": honoured("unit/node/test_claims.py::test_what_does_not_fit_is_not_bound"),
    },
    "PersistentVolumeClaimTemplate": {
        "metadata": honoured(_EPHEMERAL),
        "spec": honoured(_EPHEMERAL),
    },
    "PersistentVolumeClaimVolumeSource": {
        "claimName": honoured(_CLAIM),
        "readOnly": honoured(_CLAIM),
    },
    "ProjectedVolumeSource": {
        "defaultMode": honoured(_MADE),
        "sources": honoured(
            _MADE,
            but=refused(
                "a source is empty: Kubernetes 1.36 drops clusterTrustBundle and podCertificate, whose feature gates are off",
                when=lambda sources, _: any(not source for source in sources),
                example=[{}],
            ),
        ),
    },
    "SecretProjection": {
        "items": honoured("unit/node/test_payload.py::test_paths_with_folders_are_reached_through_their_first_part"),
        "name": honoured(_MADE),
        "optional": honoured(_MADE),
    },
    "SecretVolumeSource": {
        "defaultMode": honoured(_MADE),
        "items": honoured("conformance/pods/test_environment.py::test_a_volume_that_cannot_be_made_is_told"),
        "optional": honoured(_LIVE),
        "secretName": honoured(_MADE),
    },
    "ServiceAccountTokenProjection": {
        "audience": honoured(_TOKEN),
        "expirationSeconds": honoured(_TOKEN, "unit/node/test_pod_tokens.py::test_a_token_is_renewed_when_a_fifth_of_its_life_is_left"),
        "path": honoured(_TOKEN),
    },
    "Volume": {
        "awsElasticBlockStore": _cluster("AWS"),
        "azureDisk": _cluster("Azure"),
        "azureFile": _cluster("Azure"),
        "cephfs": _cluster("CephFS"),
        "cinder": _cluster("OpenStack"),
        "configMap": honoured(_MADE),
        "csi": _cluster("CSI"),
        "downwardAPI": honoured(_MADE),
        "emptyDir": honoured(_MADE),
        "ephemeral": honoured(_EPHEMERAL),
        "fc": _cluster("Fibre Channel"),
        "flexVolume": _cluster("FlexVolume"),
        "flocker": _cluster("Flocker"),
        "gcePersistentDisk": _cluster("GCE"),
        "gitRepo": refused("git repositories are not cloned; Kubernetes does not do it any more either"),
        "glusterfs": _cluster("GlusterFS"),
        "hostPath": honoured(_PATHS),
        "image": honoured(_IMAGE),
        "iscsi": _cluster("iSCSI"),
        "name": honoured(_MADE),
        "nfs": _cluster("NFS"),
        "persistentVolumeClaim": honoured(_CLAIM),
        "photonPersistentDisk": _cluster("Photon"),
        "portworxVolume": _cluster("Portworx"),
        "projected": honoured(_MADE),
        "quobyte": _cluster("Quobyte"),
        "rbd": _cluster("RBD"),
        "scaleIO": _cluster("ScaleIO"),
        "secret": honoured(_MADE),
        "storageos": _cluster("StorageOS"),
        "vsphereVolume": _cluster("vSphere"),
    },
    "VolumeProjection": {
        "clusterTrustBundle": refused("there are no trust bundles"),
        "configMap": honoured(_MADE),
        "downwardAPI": honoured(_MADE),
        "podCertificate": refused("nobody signs certificates for Pods here"),
        "secret": honoured(_MADE),
        "serviceAccountToken": honoured(_TOKEN),
    },
    "VolumeResourceRequirements": {
        "limits": kept("Nothing holds a volume to a size."),
        "requests": honoured(_FITS),
    },
}
