"""Real kubectl with a ServiceAccount's token: what it opens, in the words of a cluster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.conformance.api.apiserver import Kubectl, running

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    folder = tmp_path_factory.mktemp("tokens")
    program = shutil.which("kubectl")
    assert program
    with running(folder):
        yield Kubectl(program=program, folder=folder)


def bearer(kubectl: Kubectl, token: str) -> tuple[str, ...]:
    """Flags that make kubectl come with nothing but a token."""
    config = json.loads((kubectl.folder / "kubeconfig").read_text())
    ca = kubectl.folder / "ca.crt"
    ca.write_text((kubectl.folder / "pki" / "ca.crt").read_text())
    alone = kubectl.folder / "token.kubeconfig"
    alone.write_text("{}")
    return (
        f"--kubeconfig={alone}",
        f"--server={config['clusters'][0]['cluster']['server']}",
        f"--certificate-authority={ca}",
        f"--token={token}",
    )


def test_a_token_opens_what_the_accounts_annotation_says(kubectl: Kubectl) -> None:
    assert kubectl("create", "serviceaccount", "web") == "serviceaccount/web created\n"
    token = kubectl("create", "token", "web", "--duration=10m").strip()
    as_web = bearer(kubectl, token)
    whoami = kubectl(*as_web, "auth", "whoami", "-o", "json")
    assert json.loads(whoami)["status"]["userInfo"]["username"] == "system:serviceaccount:default:web"
    refused = kubectl(*as_web, "get", "pods", status=1)
    assert 'pods is forbidden: User "system:serviceaccount:default:web" cannot list resource "pods"' in refused
    assert kubectl(*as_web, "auth", "can-i", "list", "pods", status=1).startswith("no\n")
    kubectl("annotate", "serviceaccount", "web", "podspace.io/rights=view")
    assert kubectl(*as_web, "auth", "can-i", "list", "pods") == "yes\n"
    assert "No resources found" in kubectl.run(*as_web, "get", "pods").stderr
    assert 'cannot list resource "secrets"' in kubectl(*as_web, "get", "secrets", status=1)
    assert kubectl("auth", "can-i", "create", "pods", "--as=system:serviceaccount:default:web", status=1).startswith("no\n")
    kubectl("delete", "serviceaccount", "web")
    assert "Unauthorized" in kubectl(*as_web, "get", "pods", status=1)


def test_a_bound_token_needs_its_object(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "bound")
    kubectl("create", "secret", "generic", "s")
    token = kubectl("create", "token", "bound", "--bound-object-kind=Secret", "--bound-object-name=s").strip()
    as_bound = bearer(kubectl, token)
    assert "system:serviceaccount:default:bound" in kubectl(*as_bound, "auth", "whoami")
    kubectl("delete", "secret", "s")
    assert "Unauthorized" in kubectl(*as_bound, "auth", "whoami", status=1)
