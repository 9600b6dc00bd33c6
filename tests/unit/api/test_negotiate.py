"""Which form an Accept header gets."""

from __future__ import annotations

import pytest

from podspace import errors
from podspace.api import negotiate
from podspace.api.negotiate import Form
from tests.unit.api.serving import Client, configmap, played

TABLE = "application/json;as=Table;v={};g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("text/html, */*;q=0.8", Form()),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        ("application/yaml", Form(yaml=True)),
        (f"{TABLE.format('v1')},{TABLE.format('v1beta1')},application/json", Form(transform="Table")),
        (f"{TABLE.format('v9')},application/json", Form()),
        (TABLE.format("v1beta1"), Form(transform="Table", version="v1beta1")),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Form(transform="PartialObjectMetadata")),
    ],
)
def test_the_first_clause_that_can_be_served_wins(accept: str, form: Form) -> None:
    assert negotiate.form(accept) == form


@pytest.mark.parametrize(
    ("accept", "begin"), [("text/plain", "406: Not Acceptable"), ("application/json;as=Foo;v=v1", "only the following")]
)
def test_what_cannot_be_served_is_refused(accept: str, begin: str) -> None:
    with pytest.raises(errors.NotAcceptable, match=f"^{begin}"):
        negotiate.form(accept)


def test_yaml_and_pretty_print_are_served() -> None:
    async def scene(client: Client) -> None:
        path = "/api/v1/namespaces/default/configmaps/c"
        await client.post(path.rpartition("/")[0], configmap("c", data={"a": "1"}))
        yaml = await client.get(path, Accept="application/yaml")
        assert yaml.headers["Content-Type"] == "application/yaml"
        assert yaml.text.startswith("apiVersion: v1\ndata:\n  a: '1'\nkind: ConfigMap\n")
        compact = await client.get(path)
        assert compact.text.endswith("}\n")
        assert "\n" not in compact.text[:-1]
        for pretty in (await client.get(f"{path}?pretty=true"), await client.get(path, User_Agent="curl/8.0")):
            assert pretty.text.startswith('{\n  "kind": "ConfigMap",\n')
            assert not pretty.text.endswith("\n")

    played(scene)
