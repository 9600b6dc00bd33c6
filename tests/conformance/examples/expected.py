"""What becomes of each Pod of the Kubernetes documentation's examples: one line per file, as ``kubectl get pod`` shows it.

Where the state is not the one its page describes, ``because`` says why: another machine, no Internet, a kind of object that needs a
cluster, a manifest that is mistaken. ``tests/conformance/examples/test_examples.py`` applies them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """``shows``: what READY and STATUS match (a regular expression); "" = kubectl is refused. ``words``: part of an event, of the status
    or, if refused, of the error. ``needs``: objects of ``objects.py`` that its page makes first. ``restarts``: at least so many."""

    shows: str = ""
    words: str = ""
    needs: tuple[str, ...] = ()
    restarts: int = 0
    because: str = ""


def runs(ready: str = "1/1", *needs: str, restarts: int = 0, words: str = "", because: str = "") -> Expected:
    return Expected(shows=f"{ready} Running", needs=needs, restarts=restarts, words=words, because=because)


def completes(*needs: str, ready: str = "0/1") -> Expected:
    return Expected(shows=f"{ready} Completed", needs=needs)


def waits(shows: str, words: str, *needs: str, because: str = "") -> Expected:
    return Expected(shows=shows, words=words, needs=needs, because=because)


def refused(words: str, because: str = "", *needs: str) -> Expected:
    return Expected(words=words, because=because, needs=needs)


_CLAIMS = "there is no dynamic resource allocation"
_NO_NODE = "1 node(s) didn't match Pod's node affinity/selector."
_SMALL = "it asks for more CPUs than some machines have"
_WINDOWS = waits("0/1 Pending", _NO_NODE, because="it is for Windows")
_APPARMOR = Expected(shows="(1/1 Running|0/1 AppArmor)", because="the kernel may have no AppArmor; then that is said")

EXPECTED: Mapping[str, Expected] = {
    "admin/dns/busybox.yaml": runs(),
    "admin/dns/dnsutils.yaml": runs(),
    "admin/konnectivity/konnectivity-server.yaml": runs(),
    "admin/logging/two-files-counter-pod-agent-sidecar.yaml": runs("2/2", "fluentd-config"),
    "admin/logging/two-files-counter-pod-streaming-sidecar.yaml": runs("3/3"),
    "admin/logging/two-files-counter-pod.yaml": runs(),
    "admin/resource/cpu-constraints-pod-2.yaml": refused("maximum cpu usage per Container is 800m, but limit is 1500m", "", "cpu bounds"),
    "admin/resource/cpu-constraints-pod-3.yaml": refused("minimum cpu usage per Container is 200m, but request is 100m", "", "cpu bounds"),
    "admin/resource/cpu-constraints-pod-4.yaml": runs("1/1", "cpu bounds"),
    "admin/resource/cpu-constraints-pod.yaml": runs("1/1", "cpu bounds"),
    "admin/resource/cpu-defaults-pod-2.yaml": runs("1/1", "cpu defaults"),
    "admin/resource/cpu-defaults-pod-3.yaml": runs("1/1", "cpu defaults"),
    "admin/resource/cpu-defaults-pod.yaml": runs("1/1", "cpu defaults"),
    "admin/resource/limit-range-pod-1.yaml": runs("4/4", "container bounds"),
    "admin/resource/limit-range-pod-2.yaml": refused(
        "maximum cpu usage per Pod is 2, but limit is 2400m", "", "container bounds", "pod bounds"
    ),
    "admin/resource/limit-range-pod-3.yaml": refused(
        "memory max limit to request ratio per Pod is 2, but provided ratio is 3.000000", "", "memory ratio"
    ),
    "admin/resource/memory-constraints-pod-2.yaml": refused(
        "maximum memory usage per Container is 1Gi, but limit is 1536Mi", "", "memory bounds"
    ),
    "admin/resource/memory-constraints-pod-3.yaml": refused(
        "minimum memory usage per Container is 500Mi, but request is 100Mi", "", "memory bounds"
    ),
    "admin/resource/memory-constraints-pod-4.yaml": runs("1/1", "memory bounds"),
    "admin/resource/memory-constraints-pod.yaml": runs("1/1", "memory bounds"),
    "admin/resource/memory-defaults-pod-2.yaml": runs("1/1", "memory defaults"),
    "admin/resource/memory-defaults-pod-3.yaml": runs("1/1", "memory defaults"),
    "admin/resource/memory-defaults-pod.yaml": runs("1/1", "memory defaults"),
    "admin/resource/quota-mem-cpu-pod-2.yaml": runs("1/1", "quota", because="on its page another has used up the quota"),
    "admin/resource/quota-mem-cpu-pod.yaml": runs("1/1", "quota"),
    "admin/sched/pod1.yaml": runs(),
    "admin/sched/pod2.yaml": runs(),
    "admin/sched/pod3.yaml": waits("0/1 Pending", "there is no scheduler my-scheduler here"),
    "application/job/redis/redis-pod.yaml": runs(),
    "application/shell-demo.yaml": runs(),
    "concepts/policy/limit-range/example-conflict-with-limitrange-cpu.yaml": refused(
        "must be less than or equal to cpu limit of 500m", "", "cpu of half a core"
    ),
    "concepts/policy/limit-range/example-no-conflict-with-limitrange-cpu.yaml": runs("1/1", "cpu of half a core"),
    "configmap/configure-pod.yaml": runs("1/1", "game-demo"),
    "configmap/env-configmap.yaml": waits("0/1 (Completed|CrashLoopBackOff)", "", "myconfigmap"),
    "debug/counter-pod-err.yaml": runs(),
    "debug/counter-pod.yaml": runs(),
    "debug/termination.yaml": runs(restarts=1, words="Sleep expired"),
    "dra/dra-device-metadata-pod.yaml": waits("0/1 Pending", _CLAIMS),
    "dra/dra-device-metadata-template-pod.yaml": waits("0/1 Pending", _CLAIMS),
    "dra/driver-install/example/all.yaml": waits("0/1 Pending", _CLAIMS),
    "dra/driver-install/example/pod.yaml": waits("0/1 Pending", _CLAIMS),
    "pods/assigning-pods-to-nodes-affinity.yaml": waits("0/1 Pending", _NO_NODE),
    "pods/commands.yaml": completes(),
    "pods/config/redis-pod.yaml": runs("1/1", "example-redis-config"),
    "pods/emptydir-volume-mode.yaml": refused('unknown field "spec.volumes[0].emptyDir.mode"', "newer than the release that is served"),
    "pods/image-volumes-subpath.yaml": Expected(
        shows="(1/1 Running|0/1 (ErrImagePull|ImagePullBackOff))", because="the image of its volume has to be fetched from the Internet"
    ),
    "pods/image-volumes.yaml": Expected(
        shows="(1/1 Running|0/1 (ErrImagePull|ImagePullBackOff))", because="the image of its volume has to be fetched from the Internet"
    ),
    "pods/init-containers.yaml": Expected(
        shows="(1/1 Running|0/1 Init:(CrashLoopBackOff|Error))", because="it fetches a page of the Internet"
    ),
    "pods/inject/dapi-envars-container.yaml": runs(),
    "pods/inject/dapi-envars-pod.yaml": runs(),
    "pods/inject/dapi-volume-resources.yaml": runs(),
    "pods/inject/dapi-volume.yaml": runs(),
    "pods/inject/dependent-envars.yaml": runs(),
    "pods/inject/envFrom.yaml": runs("1/1", "envfrom-configmap"),
    "pods/inject/envars-file-container.yaml": completes(),
    "pods/inject/envars.yaml": runs(),
    "pods/inject/pod-multiple-secret-env-variable.yaml": refused("found a tab character", "the file is no YAML"),
    "pods/inject/pod-secret-envFrom.yaml": runs("1/1", "test-secret"),
    "pods/inject/pod-single-secret-env-variable.yaml": refused("apiVersion not set", "the file has a part of a manifest"),
    "pods/inject/secret-envars-pod.yaml": runs("1/1", "test-secret"),
    "pods/inject/secret-pod.yaml": runs("1/1", "test-secret"),
    "pods/lifecycle-events.yaml": runs(),
    "pods/multi-container/adapter.yaml": runs("2/2"),
    "pods/multi-container/ambassador.yaml": runs("2/2"),
    "pods/multi-container/localhost.yaml": runs("2/2"),
    "pods/multi-container/resources.yaml": runs("2/2"),
    "pods/multi-container/shared-volume.yaml": runs(),
    "pods/multi-container/startup-coordination.yaml": runs("2/2"),
    "pods/pod-configmap-env-var-valueFrom.yaml": completes("special-config"),
    "pods/pod-configmap-envFrom.yaml": completes("special-config"),
    "pods/pod-configmap-volume-specific-key.yaml": completes("special-config"),
    "pods/pod-configmap-volume.yaml": completes("special-config"),
    "pods/pod-multiple-configmap-env-variable.yaml": completes("special-how", "env-config"),
    "pods/pod-nginx-preferred-affinity.yaml": runs(),
    "pods/pod-nginx-required-affinity.yaml": runs(),
    "pods/pod-nginx-specific-node.yaml": waits("0/1 Pending", "there is no node foo-node here"),
    "pods/pod-nginx.yaml": runs(),
    "pods/pod-projected-svc-token.yaml": runs(),
    "pods/pod-rs.yaml": runs(),
    "pods/pod-single-configmap-env-variable.yaml": completes("special-how"),
    "pods/pod-with-affinity-anti-affinity.yaml": runs(),
    "pods/pod-with-affinity-preferred-weight.yaml": runs(),
    "pods/pod-with-node-affinity-1.yaml": waits("0/1 Pending", _NO_NODE),
    "pods/pod-with-node-affinity-2.yaml": runs(),
    "pods/pod-with-node-affinity.yaml": refused("cannot unmarshal array into Go struct field NodeAffinity", "the manifest is mistaken"),
    "pods/pod-with-numeric-toleration.yaml": refused(
        "spec.tolerations[0].operator: Unsupported value", "behind a gate that is off in 1.36"
    ),
    "pods/pod-with-pod-affinity.yaml": waits("0/1 Pending", "1 node(s) didn't match pod affinity rules."),
    "pods/pod-with-scheduling-gates.yaml": Expected(shows="0/1 SchedulingGated"),
    "pods/pod-with-toleration.yaml": runs(),
    "pods/pod-without-scheduling-gates.yaml": runs(),
    "pods/private-reg-pod.yaml": waits("0/1 InvalidImageName", "couldn't parse image name", because="the image is to be filled in"),
    "pods/probe/exec-liveness.yaml": runs(restarts=1, words="Container liveness failed liveness probe, will be restarted"),
    "pods/probe/grpc-liveness.yaml": runs(),
    "pods/probe/http-liveness.yaml": runs(restarts=1, words="Liveness probe failed: HTTP probe failed with statuscode: 500"),
    "pods/probe/pod-with-http-healthcheck.yaml": runs(),
    "pods/probe/pod-with-tcp-socket-healthcheck.yaml": runs(),
    "pods/probe/tcp-liveness-readiness.yaml": runs(),
    "pods/qos/qos-pod-2.yaml": runs(),
    "pods/qos/qos-pod-3.yaml": runs(),
    "pods/qos/qos-pod-4.yaml": runs("2/2"),
    "pods/qos/qos-pod-5.yaml": runs(),
    "pods/qos/qos-pod.yaml": runs(),
    "pods/resource/cpu-request-limit-2.yaml": waits("0/1 Pending", "1 Insufficient cpu."),
    "pods/resource/cpu-request-limit.yaml": runs(),
    "pods/resource/extended-resource-pod-2.yaml": waits("0/1 Pending", "1 Insufficient example.com/dongle."),
    "pods/resource/extended-resource-pod.yaml": waits("0/1 Pending", "1 Insufficient example.com/dongle."),
    "pods/resource/memory-request-limit-2.yaml": waits("0/1 (OOMKilled|CrashLoopBackOff)", "OOMKilled"),
    "pods/resource/memory-request-limit-3.yaml": waits("0/1 Pending", "1 Insufficient memory."),
    "pods/resource/memory-request-limit.yaml": runs(),
    "pods/resource/pod-level-cpu-request-limit.yaml": runs(),
    "pods/resource/pod-level-memory-request-limit.yaml": waits(
        "0/1 (StartError|RunContainerError|CrashLoopBackOff)",
        "`stress` not found",
        because="the manifest names an image without its program",
    ),
    "pods/resource/pod-level-pid-limit.yaml": refused(
        "spec.resources.limits[pids]: Invalid value", "newer than the release that is served"
    ),
    "pods/resource/pod-level-resize.yaml": runs("2/2"),
    "pods/resource/pod-level-resource-managers-container-scope-mixed.yaml": Expected(shows="(3/3 Running|0/3 Pending)", because=_SMALL),
    "pods/resource/pod-level-resource-managers-empty-shared-pool.yaml": Expected(shows="(3/3 Running|0/3 Pending)", because=_SMALL),
    "pods/resource/pod-level-resource-managers-pod-scope-mixed.yaml": Expected(shows="(3/3 Running|0/3 Pending)", because=_SMALL),
    "pods/resource/pod-level-resources.yaml": runs("2/2"),
    "pods/resource/pod-resize.yaml": runs(),
    "pods/restart-policy/restart-all-containers.yaml": runs("2/2", restarts=2),
    "pods/security/apparmor/default-pod.yaml": _APPARMOR,
    "pods/security/apparmor/hello-apparmor.yaml": _APPARMOR,
    "pods/security/hello-apparmor-2.yaml": _APPARMOR,
    "pods/security/hello-apparmor.yaml": _APPARMOR,
    "pods/security/seccomp/alpha/audit-pod.yaml": runs(),
    "pods/security/seccomp/alpha/default-pod.yaml": runs(),
    "pods/security/seccomp/alpha/fine-pod.yaml": runs(),
    "pods/security/seccomp/alpha/violation-pod.yaml": runs(because="the annotation is no longer read, by Kubernetes either"),
    "pods/security/seccomp/fields.yaml": refused(
        "spec.ephemeralContainers: Forbidden: cannot be set on create", "the manifest shows fields"
    ),
    "pods/security/seccomp/ga/audit-pod.yaml": runs(),
    "pods/security/seccomp/ga/default-pod.yaml": runs(),
    "pods/security/seccomp/ga/fine-pod.yaml": runs(),
    "pods/security/seccomp/ga/violation-pod.yaml": Expected(shows="0/1 (CrashLoopBackOff|RunContainerError|StartError|Error)"),
    "pods/security/security-context-2.yaml": runs(),
    "pods/security/security-context-3.yaml": runs(),
    "pods/security/security-context-4.yaml": runs(),
    "pods/security/security-context-5.yaml": runs(),
    "pods/security/security-context-6.yaml": runs(),
    "pods/security/security-context-7.yaml": refused('unknown field "spec.containers[0].securityContext.cgroupOptions"', "newer than 1.36"),
    "pods/security/security-context.yaml": runs(),
    "pods/share-process-namespace.yaml": runs("2/2"),
    "pods/simple-pod.yaml": runs(),
    "pods/storage/expandable-pvc-pod.yaml": runs("1/1", "expandable-pvc"),
    "pods/storage/projected-clustertrustbundle.yaml": waits("0/1 Pending", "Kubernetes 1.36 drops clusterTrustBundle"),
    "pods/storage/projected-podcertificate.yaml": waits("0/1 Pending", "Kubernetes 1.36 drops clusterTrustBundle"),
    "pods/storage/projected-secret-downwardapi-configmap.yaml": runs("1/1", "mysecret", "myconfigmap"),
    "pods/storage/projected-secrets-nondefault-permission-mode.yaml": runs("1/1", "mysecret", "mysecret2"),
    "pods/storage/projected-service-account-token.yaml": runs(),
    "pods/storage/projected.yaml": runs("1/1", "user", "pass"),
    "pods/storage/pv-duplicate.yaml": waits("0/1 Pending", 'persistentvolumeclaim "test-nfs-claim" not found.'),
    "pods/storage/pv-pod-backup.yaml": runs("1/1", "task-pv-claim"),
    "pods/storage/pv-pod.yaml": runs("1/1", "task-pv-claim"),
    "pods/storage/redis.yaml": runs(),
    "pods/topology-spread-constraints/one-constraint-with-nodeaffinity.yaml": runs(),
    "pods/topology-spread-constraints/one-constraint.yaml": runs(),
    "pods/topology-spread-constraints/two-constraints.yaml": runs(),
    "pods/two-container-pod.yaml": Expected(shows="1/2 NotReady"),
    "pods/user-namespaces-stateless.yaml": runs(),
    "policy/high-priority-pod.yaml": Expected(shows="(1/1 Running|0/1 Pending)", needs=("high",), because="it asks for 10 GiB of memory"),
    "secret/dotfile-secret.yaml": waits("0/1 (Completed|CrashLoopBackOff)", ""),
    "secret/optional-secret.yaml": runs(),
    "security/example-baseline-pod.yaml": runs(),
    "service/networking/custom-dns.yaml": runs(),
    "service/networking/hostaliases-pod.yaml": completes(),
    "storage/rro.yaml": runs(),
    "storage/storageclass/pod-volume-binding.yaml": waits("0/1 Pending", _NO_NODE),
    "windows/configmap-pod.yaml": _WINDOWS,
    "windows/emptydir-pod.yaml": _WINDOWS,
    "windows/hostpath-volume-pod.yaml": _WINDOWS,
    "windows/run-as-username-container.yaml": _WINDOWS,
    "windows/run-as-username-pod.yaml": _WINDOWS,
    "windows/secret-pod.yaml": waits("0/1 ErrImageNeverPull", "is not present with pull policy of Never", because="it is for Windows"),
    "windows/simple-pod.yaml": _WINDOWS,
}
SLOW = ("pods/probe/exec-liveness.yaml", "pods/restart-policy/restart-all-containers.yaml")  # a minute and more: they begin first
