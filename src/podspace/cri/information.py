"""The RPCs about the runtime itself: who it is, whether it is ready, how it is set up. Called by ``server``.

Source: cri-api api.proto; KEP-4033 (RuntimeConfig), KEP-3857 (recursive read-only), KEP-3619 (supplemental groups policy).
"""

from __future__ import annotations

import json

from cri_api.v1 import api_pb2 as pb

from podspace.cri.owned import OWNER, Owned
from podspace.linux import mounts
from podspace.settings import SYSTEMD, Settings

NAME, API_VERSION = "podspace", "v1"


class Information:
    """Version, Status, RuntimeConfig, UpdateRuntimeConfig."""

    def __init__(self, owned: Owned, settings: Settings, version: str) -> None:
        self._owned = owned
        self._settings = settings
        self._version = version

    async def version(self, request: pb.VersionRequest) -> pb.VersionResponse:
        """``version`` is that of the kubelet's side of the API, which has been 0.1.0 for ever."""
        return pb.VersionResponse(version="0.1.0", runtime_name=NAME, runtime_version=self._version, runtime_api_version=API_VERSION)

    async def status(self, request: pb.StatusRequest) -> pb.StatusResponse:
        """The runtime is ready whenever this can be asked; the network once there is one, in containerd's words until then."""
        problem = await self._owned.engine.network_problem(OWNER)
        network = pb.RuntimeCondition(type="NetworkReady", status=not problem)
        if problem:
            network.reason, network.message = "NetworkPluginNotReady", f"Network plugin returns error: {problem}"
        missing = await self._owned.engine.missing_for_user_namespaces()
        details = {
            "ociRuntime": self._owned.engine.runtime_name,
            "runtimeHandlers": {name: str(program) for name, program in self._owned.engine.runtime_handlers.items()},
            "cgroupDriver": self._settings.cgroup_driver,
            "cgroupRoot": self._settings.cgroup_root,
            "userNamespaces": missing or "yes",
        }
        return pb.StatusResponse(
            status=pb.RuntimeStatus(conditions=[pb.RuntimeCondition(type="RuntimeReady", status=True), network]),
            info={"config": json.dumps(details)} if request.verbose else {},
            runtime_handlers=[
                pb.RuntimeHandler(name=name, features=_features(user_namespaces=not missing))
                for name in self._owned.engine.runtime_handlers
            ],
            features=pb.RuntimeFeatures(supplemental_groups_policy=True),
        )

    async def runtime_config(self, request: pb.RuntimeConfigRequest) -> pb.RuntimeConfigResponse:
        driver = pb.SYSTEMD if self._settings.cgroup_driver == SYSTEMD else pb.CGROUPFS
        return pb.RuntimeConfigResponse(linux=pb.LinuxRuntimeConfiguration(cgroup_driver=driver))

    async def update_runtime_config(self, request: pb.UpdateRuntimeConfigRequest) -> pb.UpdateRuntimeConfigResponse:
        """The Pod network a kubelet names is handed on to CNI plugins that ask for it. The bridge keeps to its own: Pods have addresses."""
        self._owned.engine.use_pod_cidr(request.runtime_config.network_config.pod_cidr)
        return pb.UpdateRuntimeConfigResponse()


def _features(*, user_namespaces: bool) -> pb.RuntimeHandlerFeatures:
    return pb.RuntimeHandlerFeatures(recursive_read_only_mounts=mounts.knows_recursive_readonly(), user_namespaces=user_namespaces)
