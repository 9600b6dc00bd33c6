"""The rules of validation that stand without recordings: process namespaces, updates, sidecars, other kinds."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from podspace import errors
from podspace.kube import admission, decode, defaults, qos, resources, validation
from podspace.kube.json import JSON

CONTAINER = {"name": "a", "image": "busybox:1.28"}


def _pod(**spec: Any) -> JSON:
    body = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [CONTAINER], **spec}}
    obj = decode.decode(json.dumps(body).encode(), "application/json", resources.PODS, field_validation="Strict").obj
    defaults.apply("Pod", obj)
    admission.admit_pod(obj)
    obj["status"] = {"phase": "Pending", "qosClass": qos.qos_class(obj["spec"])}
    return obj


def _created(**spec: Any) -> list[str]:
    return [cause.sentence() for cause in validation.validate_create("Pod", _pod(**spec))]


def _updated(old: JSON, new: JSON, subresource: str = "") -> list[str]:
    return [cause.sentence() for cause in validation.validate_update("Pod", new, old, subresource)]


def test_a_pod_may_share_its_process_namespace_or_use_the_hosts_but_not_both() -> None:
    assert _created(shareProcessNamespace=True) == []
    assert _created(hostPID=True) == []
    assert _created(shareProcessNamespace=False, hostPID=True) == []
    message = "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"
    assert _created(shareProcessNamespace=True, hostPID=True) == [f"spec.securityContext.shareProcessNamespace: {message}"]


def test_sharing_cannot_be_changed_later() -> None:
    old, new = _pod(), _pod(shareProcessNamespace=True)
    (sentence,) = _updated(old, new)
    assert sentence.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`")
    assert '+ "shareProcessNamespace": true' in sentence


def test_images_deadline_and_tolerations_may_change() -> None:
    old, new = _pod(), _pod(activeDeadlineSeconds=10)
    new["spec"]["containers"][0]["image"] = "busybox:2"
    new["spec"]["tolerations"].append({"key": "n", "operator": "Exists", "effect": "NoExecute"})
    assert _updated(old, new) == []
    assert _updated(new, old)[0].startswith("spec.activeDeadlineSeconds: Invalid value: null: must not update")


def test_a_toleration_cannot_be_taken_away() -> None:
    old, new = _pod(), _pod()
    new["spec"]["tolerations"].pop()
    assert _updated(old, new) == ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]


def test_containers_cannot_be_added_or_removed() -> None:
    new = _pod(containers=[CONTAINER, {"name": "b", "image": "x"}])
    assert _updated(_pod(), new) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_names_are_unique_over_all_kinds_of_containers() -> None:
    again = {"name": "a", "image": "x"}
    assert _created(initContainers=[again]) == ['spec.initContainers[0].name: Duplicate value: "a"']
    new = _pod()
    new["spec"]["ephemeralContainers"] = [{**_pod()["spec"]["containers"][0]}]
    assert _updated(_pod(), new, "ephemeralcontainers") == ['spec.ephemeralContainers[0].name: Duplicate value: "a"']


def test_a_sidecar_may_have_probes_and_a_plain_init_container_not() -> None:
    probe = {"exec": {"command": ["x"]}}
    assert _created(initContainers=[{"name": "i", "image": "x", "restartPolicy": "Always", "readinessProbe": probe}]) == []
    message = "Forbidden: may not be set for init containers without restartPolicy=Always"
    assert _created(initContainers=[{"name": "i", "image": "x", "readinessProbe": probe}]) == [
        f"spec.initContainers[0].readinessProbe: {message}"
    ]


def test_an_ephemeral_container_targets_a_container_that_exists() -> None:
    new = _pod()
    new["spec"]["ephemeralContainers"] = [{**_pod()["spec"]["containers"][0], "name": "d", "targetContainerName": "zz"}]
    assert _updated(_pod(), new, "ephemeralcontainers") == ['spec.ephemeralContainers[0].targetContainerName: Not found: "zz"']
    new["spec"]["ephemeralContainers"][0]["targetContainerName"] = "a"
    assert _updated(_pod(), new, "ephemeralcontainers") == []


def test_ephemeral_containers_are_only_appended() -> None:
    old = _pod()
    old["spec"]["ephemeralContainers"] = [{**_pod()["spec"]["containers"][0], "name": "d"}]
    assert _updated(old, _pod(), "ephemeralcontainers") == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be removed\n'
    ]
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"][0]["image"] = "changed"
    (sentence,) = _updated(old, new, "ephemeralcontainers")
    assert sentence.startswith('spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be changed\n@@')


def test_a_resize_changes_cpu_and_memory_only() -> None:
    def sized(cpu: str) -> JSON:
        amounts = {"cpu": cpu, "memory": "64Mi"}
        return _pod(containers=[{**CONTAINER, "resources": {"requests": amounts, "limits": {"cpu": "1", "memory": "128Mi"}}}])

    assert _updated(sized("100m"), sized("200m"), "resize") == []
    for change in ({"image": "y"}, {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]}):
        changed = sized("200m")
        changed["spec"]["containers"][0].update(change)
        assert _updated(sized("100m"), changed, "resize") == ["spec: Forbidden: only cpu and memory resources are mutable"]
    stored = sized("200m")
    stored["spec"]["containers"][0]["resources"]["requests"]["ephemeral-storage"] = "3"
    assert _updated(sized("100m"), stored, "resize") == ["spec: Forbidden: only cpu and memory resources are mutable"]
    assert _updated(stored, sized("100m"), "resize") == [
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        "spec: Forbidden: only cpu and memory resources are mutable",
    ]


def test_a_resize_leaves_containers_where_they_are() -> None:
    old = _pod(containers=[{**CONTAINER, "name": name} for name in ("a", "b")])
    new = copy.deepcopy(old)
    new["spec"]["containers"].reverse()
    assert _updated(old, new, "resize") == [
        f"spec.containers[{index}].name: Forbidden: containers may not be renamed or reordered on resize" for index in (0, 1)
    ]
    new["spec"]["containers"].pop()
    assert _updated(old, new, "resize") == ["spec.containers: Forbidden: containers may not be added or removed on resize"]


def test_what_a_pod_has_as_a_whole_is_resized_and_not_taken_away() -> None:
    def whole(**requests: str) -> JSON:
        return _pod(resources={"requests": requests}) if requests else _pod()

    assert _updated(whole(cpu="1"), whole(cpu="2", memory="1Gi"), "resize") == []
    assert _updated(whole(cpu="1"), whole(), "resize")[-1] == "spec.resources: Forbidden: pod-level resources cannot be removed"
    assert _updated(whole(cpu="1"), whole(memory="1Gi"), "resize") == [
        "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"
    ]


def test_an_init_container_that_would_be_restarted_is_not_resized() -> None:
    def sized(cpu: str, policy: str) -> JSON:
        init = {**CONTAINER, "name": "i", "resources": {"requests": {"cpu": cpu}}}
        return _pod(initContainers=[{**init, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]}])

    assert _updated(sized("1m", "NotRequired"), sized("2m", "NotRequired"), "resize") == []
    words = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
    assert f"spec.initContainers[0]: Forbidden: {words}" in _updated(
        sized("1m", "RestartContainer"), sized("2m", "RestartContainer"), "resize"
    )


def test_metadata_keeps_its_identity() -> None:
    old, new = _pod(), _pod()
    old["metadata"]["uid"], new["metadata"]["uid"] = "a", "b"
    assert set(_updated(old, new)) == {'metadata.uid: Invalid value: "b": field is immutable'}


def test_a_dying_object_takes_no_new_finalizer() -> None:
    old, new = _pod(), _pod()
    old["metadata"] = {**old["metadata"], "deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["example.com/f"]}
    new["metadata"] = {**old["metadata"], "finalizers": ["example.com/f", "example.com/g"]}
    message = 'no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/g"}'
    assert set(_updated(old, new)) == {f"metadata.finalizers: Forbidden: {message}"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hostname": "A"}, "spec.hostname"),
        ({"hostAliases": [{"ip": "x"}]}, "spec.hostAliases[0].ip"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
        ({"dnsPolicy": "None", "dnsConfig": {"searches": ["a"]}}, "spec.dnsConfig.nameservers"),
        ({"dnsConfig": {"nameservers": ["1.1.1.1"] * 4}}, "spec.dnsConfig.nameservers"),
        ({"securityContext": {"runAsUser": -1}}, "spec.securityContext.runAsUser"),
        ({"securityContext": {"sysctls": [{"name": "a b", "value": "1"}]}}, "spec.securityContext.sysctls[0].name"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}, "spec.volumes[0].hostPath.path"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/a", "type": "X"}}]}, "spec.volumes[0].hostPath.type"),
        ({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}}]}, "spec.volumes[0].hostPath"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}]}, "spec.volumes[0].secret.defaultMode"),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "/a"}]}}]},
            "spec.volumes[0].secret.items[0].path",
        ),
        ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}, "spec.volumes[1].name"),
        (
            {"hostNetwork": True, "containers": [{**CONTAINER, "ports": [{"containerPort": 1, "hostPort": 2}]}]},
            "spec.containers[0].ports[0].hostPort",
        ),
        ({"containers": [{**CONTAINER, "ports": [{"containerPort": 1, "hostPort": 2}] * 2}]}, "spec.containers[0].ports[1].hostPort"),
        ({"containers": [{**CONTAINER, "livenessProbe": {}}]}, "spec.containers[0].livenessProbe"),
        (
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "-a"}]}}},
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        ),
        ({"os": {"name": "windows"}, "hostPID": True}, "spec.hostPID"),
    ],
)
def test_a_broken_rule_names_its_field(spec: JSON, field: str) -> None:
    assert [sentence.partition(": ")[0] for sentence in _created(**spec)] == [field]


@pytest.mark.parametrize(
    ("kind", "obj", "sentence"),
    [
        (
            "ConfigMap",
            {"data": {"a": "x"}, "binaryData": {"a": "eA=="}},
            'data[a]: Invalid value: "a": duplicate of key present in binaryData',
        ),
        ("ConfigMap", {"data": {"a": "x" * (1024 * 1024 + 1)}}, "[]: Too long: may not be more than 1048576 bytes"),
        ("Secret", {"type": "kubernetes.io/ssh-auth"}, "data[ssh-privatekey]: Required value"),
        (
            "Event",
            {"involvedObject": {"namespace": "other"}},
            'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
        ),
        ("ServiceAccount", {"metadata": {"name": "A"}}, "metadata.name"),
    ],
)
def test_other_kinds_have_rules_too(kind: str, obj: JSON, sentence: str) -> None:
    whole = {"metadata": {"name": "x", "namespace": "default"}, **obj}
    causes = validation.validate_create(kind, whole)
    assert [cause.sentence()[: len(sentence)] for cause in causes] == [sentence]


def test_a_bad_secret_is_never_shown() -> None:
    obj = {"metadata": {"name": "x"}, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "aHVudGVyMg=="}}
    (cause,) = validation.validate_create("Secret", obj)
    assert "<secret contents redacted>" in cause.message
    assert "hunter2" not in cause.message


def test_an_immutable_configmap_stays_as_it_is() -> None:
    old = {"metadata": {"name": "x"}, "data": {"a": "1"}, "immutable": True}
    causes = validation.validate_update("ConfigMap", {**old, "data": {"a": "2"}}, old)
    assert [cause.sentence() for cause in causes] == ["data: Forbidden: field is immutable when `immutable` is set"]


def test_the_type_of_a_secret_is_fixed() -> None:
    old = {"metadata": {"name": "x"}, "type": "Opaque"}
    causes = validation.validate_update("Secret", {**old, "type": "foo/bar"}, old)
    assert [cause.sentence() for cause in causes] == ['type: Invalid value: "foo/bar": field is immutable']


def test_a_priority_class_nobody_made_is_refused() -> None:
    with pytest.raises(errors.Forbidden, match='pods "p" is forbidden: no PriorityClass with name nosuch was found'):
        _pod(priorityClassName="nosuch")


@pytest.mark.parametrize(
    ("name", "advice"),
    [("a.b", "[must not contain dots]"), ("a" * 64, "[must be no more than 63 characters]")],
)
def test_a_name_that_is_no_host_name_is_warned_of(name: str, advice: str) -> None:
    obj = _pod()
    obj["metadata"]["name"] = name
    (warning,) = validation.warnings("Pod", obj)
    assert warning.startswith("metadata.name: this is used in the Pod's hostname")
    assert warning.endswith(advice)


def test_the_difference_shows_only_what_differs() -> None:
    old, new = _pod(), _pod(restartPolicy="Never")
    new["spec"]["tolerations"] = new["spec"].pop("tolerations")
    (sentence,) = _updated(old, new)
    changed = [line for line in sentence.splitlines() if line[:1] in "+-"]
    assert changed == ['- "restartPolicy": "Always",', '+ "restartPolicy": "Never",']


def _windows(**options: Any) -> list[str]:
    """Of a container, without its path."""
    container = {**CONTAINER, "securityContext": {"windowsOptions": options}}
    path = "spec.containers[0].securityContext.windowsOptions."
    return [sentence.removeprefix(path) for sentence in _created(containers=[container])]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("gmsaCredentialSpecName", "UPPER", "a lowercase RFC 1123 subdomain"),
        ("gmsaCredentialSpec", "", "gmsaCredentialSpec cannot be an empty string"),
        ("gmsaCredentialSpec", "x" * 65537, "gmsaCredentialSpec size must be under 64 KiB"),
        ("runAsUserName", "", "runAsUserName cannot be an empty string"),
        ("runAsUserName", "a\tb", "runAsUserName cannot contain control characters"),
        ("runAsUserName", "a\\b\\c", "runAsUserName cannot contain more than one backslash"),
        ("runAsUserName", ".\\b", "runAsUserName's Domain doesn't match the NetBios nor the DNS format"),
        ("runAsUserName", "a." * 127 + "aa\\b", "runAsUserName's Domain length must be under 256 characters"),
        ("runAsUserName", "a\\", "runAsUserName's User cannot be empty"),
        ("runAsUserName", "b" * 105, "runAsUserName's User length must not be longer than 104 characters"),
        ("runAsUserName", ". .", "runAsUserName's User cannot contain only periods or spaces"),
        ("runAsUserName", "a@b", "runAsUserName's User cannot contain the following characters"),
    ],
)
def test_windows_options_are_those_of_windows(field: str, value: str, words: str) -> None:
    found = _windows(**{field: value})
    assert any(sentence.startswith(f"{field}: Invalid value: ") and words in sentence for sentence in found), found


def test_windows_options_that_make_sense_are_accepted() -> None:
    assert _windows(gmsaCredentialSpecName="web", gmsaCredentialSpec="{}", runAsUserName="NT AUTHORITY\\NETWORK SERVICE") == []
    assert _created(securityContext={"windowsOptions": {"runAsUserName": "ContainerUser"}}) == []


def test_all_containers_are_host_processes_or_none_is() -> None:
    host = {**CONTAINER, "name": "h", "securityContext": {"windowsOptions": {"hostProcess": True}}}
    network = "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers"
    mixed = 'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be HostProcess containers'
    assert _created(containers=[host], hostNetwork=True) == []
    assert _created(containers=[host]) == [network]
    assert _created(containers=[host, CONTAINER], hostNetwork=True) == [mixed]
    (differs,) = _created(containers=[host], hostNetwork=True, securityContext={"windowsOptions": {"hostProcess": False}})
    path = "spec.containers[0].securityContext.windowsOptions.hostProcess"
    assert differs == f"{path}: Invalid value: true: pod hostProcess value must be identical if both are specified, was false"


def test_images_are_checked_again_when_they_change() -> None:
    new = _pod()
    new["spec"]["containers"][0]["image"] = "busybox "
    assert set(_updated(_pod(), new)) == {
        'spec.containers[0].image: Invalid value: "busybox ": must not have leading or trailing whitespace'
    }


def test_new_scheduling_gates_are_told_by_their_place() -> None:
    old, new = _pod(schedulingGates=[{"name": "a"}]), _pod(schedulingGates=[{"name": "a"}, {"name": "b"}])
    words = "Forbidden: only deletion is allowed, but found new scheduling gate 'b'"
    assert _updated(old, new) == [f"spec.schedulingGates[1].name: {words}"]


def _held(**spec: Any) -> JSON:
    return _pod(schedulingGates=[{"name": "a"}], **spec)


def _placed(*values: str) -> JSON:
    terms = [{"matchExpressions": [{"key": value, "operator": "Exists"} for value in values]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def test_what_a_held_pod_demands_of_a_node_may_grow() -> None:
    assert _updated(_held(nodeSelector={"a": "b"}), _held(nodeSelector={"a": "b", "c": "d"})) == []
    assert _updated(_held(affinity=_placed("a")), _held(affinity=_placed("a", "b"))) == []
    assert _updated(_held(), _held(affinity=_placed("a"))) == []


def test_what_a_held_pod_demands_of_a_node_may_not_shrink() -> None:
    words = 'Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)'
    assert _updated(_held(nodeSelector={"a": "b"}), _held(nodeSelector={"a": "c"})) == [f"spec.nodeSelector: {words}"]
    field = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    shown = '{"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}'
    (sentence,) = _updated(_held(affinity=_placed("a")), _held(affinity=_placed("b")))
    assert sentence == f"{field}[0]: Invalid value: {shown}: only additions are allowed (no mutations or deletions)"
    (sentence,) = _updated(_held(affinity=_placed("a")), _held())
    assert sentence.startswith(f"{field}: Invalid value: null: no additions/deletions")


def test_apparmor_annotations_stay_as_they_were() -> None:
    key, new = "container.apparmor.security.beta.kubernetes.io/a", _pod()
    new["metadata"]["annotations"] = {key: "unconfined"}
    assert _updated(_pod(), new) == [f"metadata.annotations[{key}]: Forbidden: may not add AppArmor annotations"]


def test_a_status_names_real_addresses_and_conditions() -> None:
    new = _pod()
    new["status"] |= {
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}],
        "hostIP": "10.0.0.3",
        "hostIPs": [{"ip": "x"}],
        "conditions": [{"type": "Ready"}, {"type": "-"}],
        "observedGeneration": -1,
    }
    found = [sentence.partition(" (e.g. ")[0] for sentence in _updated(_pod(), new, "status")]
    assert found == [
        'status.conditions[1].Type: Invalid value: "-": name part must consist of alphanumeric characters, '
        "'-', '_' or '.', and must start and end with an alphanumeric character",
        "status.observedGeneration: Invalid value: -1: must be a non-negative integer",
        'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more than one IP for each IP family',
        'status.hostIPs[0].ip: Invalid value: "x": must be equal to `hostIP`',
        'status.hostIPs[0]: Invalid value: "x": must be a valid IP address,',
    ]
