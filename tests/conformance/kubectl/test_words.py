"""What kubectl prints, word for word as before an API server of Kubernetes 1.36: refusals, absences, warnings, and the smaller verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.kubectl import pods
from tests.support.server import Server

pytestmark = pytest.mark.root
LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
BAD = 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imagee"'


@pytest.fixture(scope="module", autouse=True)
def there(podspace: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``p1`` is there but on no node; the files of the commands lie in the folder."""
    folder = tmp_path_factory.mktemp("files")
    good = pods.pod("p1", labels={"a": "b"}, nodeSelector={"no": "where"})
    bad, label = pods.pod("p9"), pods.pod("p8", labels={"app": "b ad"})
    bad["spec"]["containers"][0]["imagee"] = bad["spec"]["containers"][0].pop("image")
    for name, manifest in (("pod", good), ("bad", bad), ("badlabel", label)):
        (folder / f"{name}.json").write_text(json.dumps(manifest))
    podspace.kubectl("create", "-f", str(folder / "pod.json"))
    return folder


def said(podspace: Server, there: Path, command: str, stdin: Any = None) -> tuple[int, str, str]:
    words = [str(there / word) if word.endswith(".json") else word for word in command.split()]
    done = podspace.run("kubectl", *words, stdin=json.dumps(stdin) if stdin else None, check=False)
    return done.returncode, done.stdout.replace(f"{there}/", ""), done.stderr.replace(f"{there}/", "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("annotate pod p1 n=2 --overwrite --resource-version=1", f'(Conflict): Operation cannot be fulfilled on pods "p1": {MODIFIED}'),
        ("create -f pod.json", '(AlreadyExists): error when creating "pod.json": pods "p1" already exists'),
        ("create -n nosuch -f pod.json", '(NotFound): error when creating "pod.json": namespaces "nosuch" not found'),
        ("create ns default", '(AlreadyExists): namespaces "default" already exists'),
        ("create -f bad.json", f'(BadRequest): error when creating "bad.json": {BAD}'),
        ("apply -f bad.json", f'(BadRequest): error when creating "bad.json": {BAD}'),
        ("get pod nope", '(NotFound): pods "nope" not found'),
        ("describe pod nope", '(NotFound): pods "nope" not found'),
        ("delete pod nope", '(NotFound): pods "nope" not found'),
        ("delete --raw /api/v1/namespaces/default/pods/none", '(NotFound): pods "none" not found'),
        ("patch pod nope -p {}", '(NotFound): pods "nope" not found'),
        ("exec nope -- id", '(NotFound): pods "nope" not found'),
        ("debug nope --image=busybox --profile=general", '(NotFound): pods "nope" not found'),
        ("wait --for=condition=Ready pod/nope --timeout=2s", '(NotFound): pods "nope" not found'),
    ],
)
def test_a_refusal(podspace: Server, there: Path, command: str, words: str) -> None:
    assert said(podspace, there, command) == (1, "", f"Error from server {words}\n")


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("create -f badlabel.json", 1, f'The Pod "p8" is invalid: metadata.labels: Invalid value: "b ad": {LABEL_RULE}\n'),
        ("create --validate=false -f bad.json", 1, 'The Pod "p9" is invalid: spec.containers[0].image: Required value\n'),
        ("get pods -n kube-public", 0, "No resources found in kube-public namespace.\n"),
        ("get pods -n nosuch", 0, "No resources found in nosuch namespace.\n"),
        ("get foobars", 1, 'error: the server doesn\'t have a resource type "foobars"\n'),
        ("label pod p1 a=c", 1, "error: 'a' already has a value (b), and --overwrite is false\n"),
        ("wait --for=condition=Ready pod/p1 --timeout=1s", 1, "error: timed out waiting for the condition on pods/p1\n"),
        ("logs nope", 1, 'error: error from server (NotFound): pods "nope" not found in namespace "default"\n'),
    ],
)
def test_other_words(podspace: Server, there: Path, command: str, status: int, words: str) -> None:
    assert said(podspace, there, command) == (status, "", words)


def test_warnings_come_before_the_answer(podspace: Server, there: Path) -> None:
    status, _, words = said(podspace, there, "create --validate=warn -f bad.json")
    assert (status, words) == (
        1,
        'Warning: unknown field "spec.containers[0].imagee"\nThe Pod "p9" is invalid: spec.containers[0].image: Required value\n',
    )
    _, listed, words = said(podspace, there, "get ev,po -o name")
    assert words == 'Warning: short name "ev" could also match lower priority resource events.events.k8s.io\n'
    assert "pod/p1" in listed


def test_both_absences_are_told(podspace: Server, there: Path) -> None:
    both = 'Error from server (NotFound): configmaps "none" not found\nError from server (NotFound): pods "none" not found\n'
    assert said(podspace, there, "delete cm/none pod/none") == (1, "", both)


def test_the_smaller_verbs(podspace: Server, there: Path) -> None:
    assert said(podspace, there, "get pod p1 --subresource=status")[1].split()[5:7] == ["p1", "0/1"]
    assert said(podspace, there, "get pods --server-print=false")[1].split()[:3] == ["NAME", "AGE", "p1"]
    assert said(podspace, there, 'patch pod p1 --subresource=status --type=merge -p {"status":{"message":"hi"}}')[1] == "pod/p1 patched\n"
    assert said(podspace, there, "set env pod/p1 --list")[1] == "# Pod p1, container c\n"
    assert said(podspace, there, "expose pod p1 --port=80")[1] == "service/p1 exposed\n"
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c1"}, "data": {"a": "2"}}
    assert said(podspace, there, "create -f -", settings)[1] == "configmap/c1 created\n"
    status, told, warned = said(podspace, there, "apply -f -", settings)
    assert (status, told) == (0, "configmap/c1 configured\n")
    assert warned.startswith("Warning: resource configmaps/c1 is missing the kubectl.kubernetes.io/last-applied-configuration annotation")
    assert 'a: "2"' in said(podspace, there, "apply view-last-applied cm c1")[1]


def test_a_conflict_of_appliers_names_the_field(podspace: Server, there: Path) -> None:
    settings: Any = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"a": "1"}}
    assert said(podspace, there, "apply --server-side -f -", settings)[1] == "configmap/shared serverside-applied\n"
    settings["data"]["a"] = "2"
    status, _, words = said(podspace, there, "apply --server-side --field-manager=other -f -", settings)
    assert (status, words.splitlines()[0]) == (1, 'error: Apply failed with 1 conflict: conflict with "kubectl": .data.a')
    forced = said(podspace, there, "apply --server-side --field-manager=other --force-conflicts -f -", settings)
    assert forced[1] == "configmap/shared serverside-applied\n"
