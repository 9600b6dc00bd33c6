"""The parts of the CRI server that need no engine."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.cri import images, owned, server, stats, status_grpc, streaming
from podspace.image.model import Image, ImageConfig


def all_errors(kind: type[errors.PodspaceError] = errors.PodspaceError) -> list[type[errors.PodspaceError]]:
    return [kind, *(found for inner in kind.__subclasses__() for found in all_errors(inner))]


def test_every_error_but_our_own_faults_has_a_code_of_its_own() -> None:
    unnamed = {errors.PodspaceError, errors.Internal}
    ours = [kind for kind in all_errors() if kind.__module__ == errors.__name__ and kind not in unnamed]
    # those that only an HTTP server has a use for
    http = {errors.MethodNotAllowed, errors.NotAcceptable, errors.Expired, errors.TooLarge, errors.UnsupportedMediaType}
    for kind in set(ours) - http:
        assert status_grpc.code_of(kind.__new__(kind)) is not grpc.StatusCode.INTERNAL, kind


def test_codes_a_kubelet_goes_by() -> None:
    assert status_grpc.code_of(errors.NotFound("x")) is grpc.StatusCode.NOT_FOUND
    assert status_grpc.code_of(errors.TimedOut("x")) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert status_grpc.code_of(errors.Unsupported("x")) is grpc.StatusCode.UNIMPLEMENTED
    assert status_grpc.code_of(ValueError("x")) is grpc.StatusCode.INTERNAL


def test_of_a_group_the_error_that_was_raised_on_purpose_is_shown() -> None:
    ours = errors.NotFound("x")
    assert status_grpc.leaf(ExceptionGroup("all", [ValueError("y"), ExceptionGroup("some", [ours])])).args == ("y",)
    assert status_grpc.leaf(ExceptionGroup("all", [ValueError("y"), ours])) is ours


def test_rpcs_are_named_after_their_methods() -> None:
    assert server.method_name("ListPodSandboxMetrics") == "list_pod_sandbox_metrics"
    assert server.method_name("Version") == "version"


def test_what_no_part_serves_is_not_in_the_table() -> None:
    class Part:
        async def version(self, request: pb.VersionRequest) -> pb.VersionResponse:
            return pb.VersionResponse()

    table = server.handlers("RuntimeService", [Part()])

    def find(name: str) -> object:
        return table.service(SimpleNamespace(method=f"/runtime.v1.RuntimeService/{name}", invocation_metadata=()))

    assert find("Version") is not None
    assert find("Status") is None


def test_the_beginning_of_an_id_finds_it_and_a_whole_id_finds_only_itself() -> None:
    known = [SimpleNamespace(id="ab"), SimpleNamespace(id="abc"), SimpleNamespace(id="b")]
    assert [found.id for found in owned.starting_with("ab", known)] == ["ab"]  # type: ignore[type-var]
    assert [found.id for found in owned.starting_with("a", known)] == ["ab", "abc"]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("user", "uid", "username"),
    [("1002", 1002, ""), ("1002:5", 1002, ""), ("www-data", None, "www-data"), ("www-data:33", None, "www-data"), ("", 0, "")],
)
def test_the_user_of_an_image_is_a_number_or_a_name(user: str, uid: int | None, username: str) -> None:
    found = images.describe(Image(id="sha256:1", size_bytes=1, config=ImageConfig(user=user), layers=()))
    assert (found.uid.value if found.HasField("uid") else None) == uid
    assert found.username == username


def test_credentials_are_good_for_their_server_only() -> None:
    given = pb.AuthConfig(username="u", password="p", server_address="https://registry.example/v1/")
    assert [credential.scope for credential in images.credentials(given)] == ["registry.example"]
    assert [credential.scope for credential in images.credentials(pb.AuthConfig(username="u", password="p"))] == [""]
    assert images.credentials(pb.AuthConfig()) == ()


def test_a_rate_needs_two_figures_a_second_apart() -> None:
    rates = stats.Rates()
    assert rates.rate("c", 1_000_000_000, 0) == 0
    assert rates.rate("c", 1_500_000_000, 400_000_000) == 0
    assert rates.rate("c", 3_000_000_000, 1_000_000_000) == 500_000_000
    assert rates.rate("c", 3_100_000_000, 1_000_000_000) == 500_000_000
    rates.keep_only(set())
    assert rates.rate("c", 5_000_000_000, 9) == 0


def test_a_terminal_has_no_stderr_and_a_session_needs_a_stream() -> None:
    streaming.check_streams(tty=True, stdin=True, stdout=True, stderr=False)
    for flags in (
        {"tty": True, "stdin": False, "stdout": False, "stderr": True},
        dict.fromkeys(("tty", "stdin", "stdout", "stderr"), False),
    ):
        with pytest.raises(errors.BadRequest):
            streaming.check_streams(**flags)


def test_a_server_without_a_socket_does_not_pay_for_grpc() -> None:
    script = "import sys, podspace.daemon; print({'grpc', 'cri_api', 'google.protobuf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
