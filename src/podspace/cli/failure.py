"""How a command fails: with a sentence for the user and an exit code. Raised anywhere in ``cli``, printed once, by ``main``.

Imports nothing: it is on the path of ``podspace exec``, which starts faster than the standard library's heavier half.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING without importing typing (5 ms); type checkers know the name
if TYPE_CHECKING:
    from podspace.kube.json import JSON

REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed", 409: "Conflict", 503: "ServiceUnavailable"}


class Failure(Exception):
    """The command cannot go on. ``str()`` is the whole line for standard error, "error: " included; may be empty."""

    def __init__(self, message: str, *, exit_code: int = 1, prefix: str = "error: ") -> None:
        super().__init__(prefix + message if message else "")
        self.exit_code = exit_code


class ServerFailure(Failure):
    """The server answered with a Status: worded as kubectl words it. ``code`` is the HTTP status, ``reason`` as in Status."""

    def __init__(self, code: int, status: JSON, *, context: str = "") -> None:
        self.code = code
        self.status = status
        self.reason = str(status.get("reason") or "")
        self.message = str(status.get("message") or "")
        super().__init__(_wording(self.reason, self.message, status, context), prefix="")

    def about(self, context: str) -> ServerFailure:
        """The same with kubectl's words of what was tried: ``error when creating "pod.yaml"``."""
        return ServerFailure(self.code, self.status, context=context)


class Usage(Failure):
    """The command line is wrong. ``command`` is what ``--help`` is for."""

    def __init__(self, message: str, command: str = "") -> None:
        name = f"podspace {command}".strip()
        super().__init__(f"{message}\nSee '{name} --help' for usage.")


def _wording(reason: str, message: str, status: JSON, context: str) -> str:
    details = status.get("details") or {}
    if reason == "Invalid" and details.get("kind"):
        return _invalid(details, message)
    if context:
        message = f"{context}: {message}"
    return f"Error from server ({reason}): {message}" if reason else f"Error from server: {message}"


def _invalid(details: JSON, message: str) -> str:
    """One cause on the line, several as a list below it."""
    head = f'The {details["kind"]} "{details.get("name", "")}" is invalid'
    causes = [_cause(cause) for cause in details.get("causes") or ()]
    if len(causes) > 1:
        return head + ": \n" + "\n".join(f"* {cause}" for cause in causes)
    return f"{head}: {causes[0] if causes else message}"


def _cause(cause: JSON) -> str:
    field, message = cause.get("field") or "", cause.get("message") or ""
    return f"{field}: {message}" if field else str(message)
