"""Rules of the kinds of volume that reach storage of other makers. None of them runs here, but what is no Pod elsewhere is none here.

Called by ``validation_volumes`` with the volume's source, and by ``validation_storage`` for PersistentVolumes.
Source: kubernetes pkg/apis/core/validation, the validate…VolumeSource.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from podspace.kube import names
from podspace.kube.json import JSON
from podspace.kube.validation_paths import descending_path, no_backsteps
from podspace.kube.validation_report import Report

Rule = Callable[[Report, JSON, str], None]

_DRIVER_LIMIT = 63
_TENANT_LIMIT = 64
_ISCSI_NAMES = {
    "iqn": re.compile(r".*iqn\.[0-9]{4}-[0-9]{2}\.[0-9A-Za-z.-]+:[^,;*&$|\s]+"),
    "eui": re.compile(r"eui.[0-9A-Za-z]{16}"),
    "naa": re.compile(r"naa.[0-9A-Za-z]{32}"),
}
_LONGEST_ISCSI_NAME = 1024  # of a name there is no other bound for; RFC 3720 has 223
_ISCSI_STARTS = " starting with iqn, eui, or naa"
ISCSI_LIMIT = 64
ISCSI_TOO_LONG = (
    f"Total length of <volume name>:<iscsi.targetPortal> must be under {ISCSI_LIMIT} characters if iscsi.initiatorName is specified."
)
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_REGISTRY = "must be a host:port pair or multiple pairs separated by commas"
_RESERVED_OPTIONS = (".kubernetes.io", ".k8s.io")
_MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def needs(*required: str) -> Rule:
    def rule(report: Report, source: JSON, field: str) -> None:
        for name in required:
            if not source.get(name):
                report.required(f"{field}.{name}")

    return rule


def nfs(report: Report, source: JSON, field: str) -> None:
    needs("server", "path")(report, source, field)
    if not source.get("path", "").startswith("/"):
        report.invalid(f"{field}.path", source.get("path", ""), "must be an absolute path")


def csi_driver(report: Report, name: str, field: str) -> None:
    if not name:
        report.required(field)
        return
    if len(name) > _DRIVER_LIMIT:
        report.too_long(field, _DRIVER_LIMIT)
    report.invalids(field, name, names.subdomain(name.lower()))


def _csi(report: Report, source: JSON, field: str) -> None:
    csi_driver(report, source.get("driver", ""), f"{field}.driver")
    if (secret := source.get("nodePublishSecretRef")) is None:
        return
    if not secret.get("name"):
        report.required(f"{field}.nodePublishSecretRef.name")
    else:
        report.invalids(f"{field}.name", secret["name"], names.subdomain(secret["name"]))


def _git_repo(report: Report, source: JSON, field: str) -> None:
    needs("repository")(report, source, field)
    descending_path(report, source.get("directory", ""), f"{field}.directory")


def _disk(name: str) -> Rule:
    def rule(report: Report, source: JSON, field: str) -> None:
        needs(name)(report, source, field)
        if not 0 <= source.get("partition", 0) <= 255:
            report.invalid(f"{field}.partition", source["partition"], "must be between 1 and 255, inclusive")

    return rule


def _iscsi(report: Report, source: JSON, field: str) -> None:
    needs("targetPortal", "iqn")(report, source, field)
    if name := source.get("iqn"):
        _iscsi_name(report, name, f"{field}.iqn")
    report.within(f"{field}.lun", source.get("lun", 0), 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        report.required(f"{field}.secretRef")
    if (initiator := source.get("initiatorName")) is not None:
        _iscsi_name(report, initiator, f"{field}.initiatorname")


def _iscsi_name(report: Report, name: str, field: str) -> None:
    form = _ISCSI_NAMES.get(name[:3])
    if form is None:
        report.invalid(field, name, f"must be valid format{_ISCSI_STARTS}")
    elif len(name) > _LONGEST_ISCSI_NAME or not form.fullmatch(name):
        report.invalid(field, name, "must be valid format")


def _fibre_channel(report: Report, source: JSON, field: str) -> None:
    names_given, ids, lun = source.get("targetWWNs") or [], source.get("wwids") or [], source.get("lun")
    if not names_given and not ids:
        report.required(f"{field}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if names_given and ids:
        report.invalid(f"{field}.targetWWNs", names_given, "targetWWNs and wwids can not be specified simultaneously")
    if names_given and lun is None:
        report.required(f"{field}.lun", "lun is required if targetWWNs is specified")
    elif names_given:
        report.within(f"{field}.lun", lun, 0, 255)


def _flocker(report: Report, source: JSON, field: str) -> None:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uuid:
        report.required(field, "one of datasetName and datasetUUID is required")
    if name and uuid:
        report.invalid(field, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        report.invalid(f"{field}.datasetName", name, "must not contain '/'")


def _cinder(report: Report, source: JSON, field: str) -> None:
    needs("volumeID")(report, source, field)
    _secret(report, source, field)


def _secret(report: Report, source: JSON, field: str) -> None:
    secret = source.get("secretRef")
    if secret is not None and not secret.get("name"):
        report.required(f"{field}.secretRef.name")


def _quobyte(report: Report, source: JSON, field: str) -> None:
    registry = source.get("registry", "")
    if not registry:
        report.required(f"{field}.registry", _REGISTRY)
    elif len(source.get("tenant", "")) > _TENANT_LIMIT:
        report.required(f"{field}.tenant", f"must be a UUID and may not exceed a length of {_TENANT_LIMIT} characters")
    else:
        for pair in registry.split(","):
            if not _is_host_and_port(pair):
                report.invalid(f"{field}.registry", registry, _REGISTRY)
    needs("volume")(report, source, field)


def _is_host_and_port(text: str) -> bool:
    """As Go's net.SplitHostPort has it: either part may be empty."""
    return re.fullmatch(r"\[[^\[\]]*\]:[^:\[\]]*|[^:\[\]]*:[^:\[\]]*", text) is not None


def _flex(report: Report, source: JSON, field: str) -> None:
    needs("driver")(report, source, field)
    for key in source.get("options") or ():
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED_OPTIONS):
            report.invalid(f"{field}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_disk(report: Report, source: JSON, field: str) -> None:
    needs("diskName", "diskURI")(report, source, field)
    kind, uri = source.get("kind"), source.get("diskURI", "")
    if "cachingMode" in source:
        report.supported(f"{field}.cachingMode", source["cachingMode"], ("None", "ReadOnly", "ReadWrite"))
    if kind is None:
        return
    report.supported(f"{field}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        report.unsupported(f"{field}.diskURI", uri, (_MANAGED_DISK,))
    if kind != "Managed" and not uri.startswith("https://"):
        report.unsupported(f"{field}.diskURI", uri, (_BLOB_DISK,))


def _storage_os(report: Report, source: JSON, field: str) -> None:
    needs("volumeName")(report, source, field)
    for name in ("volumeName", "volumeNamespace"):
        if source.get(name):
            report.invalids(f"{field}.{name}", source[name], names.label(source[name]))
    _secret(report, source, field)


def host_path(report: Report, source: JSON, field: str) -> None:
    path = source.get("path", "")
    if not path:
        report.required(f"{field}.path")
        return
    no_backsteps(report, path, f"{field}.path")
    report.supported(f"{field}.type", source.get("type", ""), _HOST_PATH_TYPES)


def _local(report: Report, source: JSON, field: str) -> None:
    needs("path")(report, source, field)
    no_backsteps(report, source.get("path", ""), f"{field}.path")


def _persistent_glusterfs(report: Report, source: JSON, field: str) -> None:
    needs("endpoints", "path")(report, source, field)
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        words = "if the endpointnamespace is set, it must be a valid namespace name"
        report.invalid(f"{field}.endpointsNamespace", namespace, words)
    elif namespace is not None:
        report.invalids(f"{field}.endpointsNamespace", namespace, names.label(namespace))


def iscsi_portal(report: Report, source: JSON, volume: str, field: str) -> None:
    portal = source.get("targetPortal", "")
    if "initiatorName" in source and len(f"{volume}:{portal}") > ISCSI_LIMIT:
        report.invalid(f"{field}.targetportal", portal, ISCSI_TOO_LONG)


def _persistent_iscsi(report: Report, source: JSON, field: str) -> None:
    """With fewer words for a bad name, and a look at the Secret's."""
    before = len(report.causes)
    _iscsi(report, source, field)
    report.causes[before:] = [
        dataclasses.replace(cause, message=cause.message.removesuffix(_ISCSI_STARTS)) for cause in report.causes[before:]
    ]
    _secret(report, source, field)


def _both_names(rule: Rule) -> Rule:
    """A Secret that is told by name and namespace."""

    def both(report: Report, source: JSON, field: str) -> None:
        rule(report, source, field)
        if "secretRef" in source and not source["secretRef"].get("namespace"):
            report.required(f"{field}.secretRef.namespace")

    return both


def _persistent_azure_file(report: Report, source: JSON, field: str) -> None:
    needs("secretName", "shareName")(report, source, field)
    if source.get("secretNamespace") == "":
        report.required(f"{field}.secretNamespace")


def _persistent_csi(report: Report, source: JSON, field: str) -> None:
    csi_driver(report, source.get("driver", ""), f"{field}.driver")
    needs("volumeHandle")(report, source, field)
    for name in ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"):
        if (secret := source.get(name)) is not None:
            for part, rule in (("name", names.subdomain), ("namespace", names.label)):
                if not secret.get(part):
                    report.required(f"{field}.{name}.{part}")
                else:
                    report.invalids(f"{field}.{name}.{part}", secret[part], rule(secret[part]))


RULES: dict[str, Rule] = {
    "gitRepo": _git_repo,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "nfs": nfs,
    "iscsi": _iscsi,
    "glusterfs": needs("endpoints", "path"),
    "flocker": _flocker,
    "rbd": needs("monitors", "image"),
    "cinder": _cinder,
    "cephfs": needs("monitors"),
    "quobyte": _quobyte,
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "azureFile": needs("secretName", "shareName"),
    "vsphereVolume": needs("volumePath"),
    "photonPersistentDisk": needs("pdID"),
    "portworxVolume": needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storage_os,
    "scaleIO": needs("gateway", "system", "volumeName"),
    "csi": _csi,
}
PERSISTENT_RULES: dict[str, Rule] = {
    **RULES,
    "hostPath": host_path,
    "local": _local,
    "glusterfs": _persistent_glusterfs,
    "iscsi": _persistent_iscsi,
    "cinder": _both_names(_cinder),
    "storageos": _both_names(_storage_os),
    "azureFile": _persistent_azure_file,
    "csi": _persistent_csi,
}
