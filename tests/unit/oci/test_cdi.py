"""CDI: files that describe devices, and what they do to an OCI spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podspace import errors
from podspace.oci import cdi

SPEC: dict[str, Any] = {
    "process": {"user": {"uid": 1000, "gid": 1000, "additionalGids": [1000]}, "env": ["PATH=/bin", "MODE=image"]},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": []}, {"destination": "/lib/deep", "type": "bind"}],
    "linux": {"devices": [{"path": "/dev/gpu", "type": "c", "major": 9, "minor": 9}], "resources": {"devices": [{"allow": False}]}},
}
GPU = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.com/gpu",
    "containerEdits": {
        "env": ["COMMON=1"],
        "hooks": [{"hookName": "createContainer", "path": "/bin/hook", "args": ["hook", "x"], "timeout": 3}],
    },
    "devices": [
        {
            "name": "0",
            "containerEdits": {"env": ["MODE=gpu"], "deviceNodes": [{"path": "/dev/gpu", "hostPath": "/dev/null", "permissions": "rw"}]},
        },
        {
            "name": "1",
            "containerEdits": {"deviceNodes": [{"path": "/dev/made", "type": "b", "major": 7, "minor": 0, "fileMode": 384, "uid": 5}]},
        },
        {
            "name": "all",
            "containerEdits": {
                "additionalGids": [44, 0, 1000],
                "mounts": [
                    {"hostPath": "/opt/b", "containerPath": "/lib/deep/er", "options": ["ro", "bind"]},
                    {"hostPath": "/opt/a", "containerPath": "/lib/deep"},
                ],
            },
        },
    ],
}


def write(folder: Path, name: str, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_device_brings_nodes_rules_variables_and_hooks(tmp_path: Path) -> None:
    folder = write(tmp_path / "cdi", "vendor.json", GPU)
    before = json.dumps(SPEC)
    made = cdi.inject(SPEC, ["vendor.com/gpu=0", "vendor.com/gpu=1"], [folder])
    assert json.dumps(SPEC) == before, "the spec that was given is left alone"
    assert made["process"]["env"] == ["PATH=/bin", "COMMON=1", "MODE=gpu"]
    gpu, other = made["linux"]["devices"]
    assert gpu == {"path": "/dev/gpu", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 1000, "gid": 1000}
    assert other == {"path": "/dev/made", "type": "b", "major": 7, "minor": 0, "fileMode": 384, "uid": 5, "gid": 1000}
    assert made["linux"]["resources"]["devices"] == [
        {"allow": False},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "b", "major": 7, "minor": 0, "access": "rwm"},
    ]
    assert made["hooks"] == {"createContainer": [{"path": "/bin/hook", "args": ["hook", "x"], "timeout": 3}]}, "once for both devices"


def test_mounts_come_after_their_parents_and_groups_once(tmp_path: Path) -> None:
    made = cdi.inject(SPEC, ["vendor.com/gpu=all"], [write(tmp_path / "cdi", "vendor.json", GPU)])
    assert [(mount["destination"], mount.get("source")) for mount in made["mounts"]] == [
        ("/proc", "proc"),
        ("/lib/deep", "/opt/a"),
        ("/lib/deep/er", "/opt/b"),
    ]
    assert made["process"]["user"]["additionalGids"] == [1000, 44]


def test_files_may_be_yaml_and_a_later_folder_wins(tmp_path: Path) -> None:
    text = "cdiVersion: 0.5.0\nkind: vendor.com/gpu\ndevices:\n- name: '0'\n  containerEdits:\n    env: [FROM=run]\n"
    folders = [write(tmp_path / "etc", "a.json", GPU), write(tmp_path / "run", "b.yaml", text)]
    assert "FROM=run" in cdi.inject(SPEC, ["vendor.com/gpu=0"], folders)["process"]["env"]
    assert "FROM=run" not in cdi.inject(SPEC, ["vendor.com/gpu=0"], folders[::-1])["process"]["env"]
    assert cdi.load([tmp_path / "absent"]) == cdi.Registry()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "a.json"),
        ("a.yaml", "a: [", "no YAML"),
        ("a.json", [], "no object"),
        ("a.json", GPU | {"kind": "gpu"}, "not VENDOR/CLASS"),
        ("a.json", GPU | {"cdiVersion": ""}, "cdiVersion"),
        ("a.json", GPU | {"devices": [{"name": "-x"}]}, "cannot be the name"),
        ("a.txt", GPU, "unresolvable CDI devices vendor.com/gpu=0"),
        ("a.json", GPU | {"containerEdits": {"netDevices": [{}]}}, "netDevices cannot be applied"),
        ("a.json", GPU | {"containerEdits": {"hooks": [{"hookName": "never", "path": "/x"}]}}, "no hook of an OCI runtime"),
        ("a.json", GPU | {"containerEdits": {"deviceNodes": [{"path": "/dev/absent"}]}}, "/dev/absent"),
        ("a.json", GPU | {"containerEdits": {"deviceNodes": [{"path": "/etc"}]}}, "not the device"),
    ],
)
def test_what_cannot_be_is_refused_with_the_files_name(tmp_path: Path, name: str, content: object, words: str) -> None:
    with pytest.raises(errors.FailedPrecondition, match="CDI device injection failed") as refused:
        cdi.inject(SPEC, ["vendor.com/gpu=0"], [write(tmp_path / "cdi", name, content)])
    assert words in str(refused.value)


def test_a_name_in_two_files_of_one_folder_is_nobodys(tmp_path: Path) -> None:
    folder = write(tmp_path / "cdi", "a.json", GPU)
    write(folder, "b.json", GPU | {"devices": [{"name": "0"}]})
    with pytest.raises(errors.FailedPrecondition, match=r"vendor.com/gpu=0 is in .*b.json as well"):
        cdi.inject(SPEC, ["vendor.com/gpu=0"], [folder])
    assert cdi.inject(SPEC, ["vendor.com/gpu=1"], [folder])
