"""What can go wrong, in the words of whoever has to act on it.

    PodspaceError
    ├── BadRequest            the request cannot be understood            400
    ├── Unauthorized          nobody we know                              401
    ├── Forbidden             understood, and refused by policy           403
    ├── NotFound              no such object                              404
    ├── MethodNotAllowed      the path exists, the verb does not          405
    ├── NotAcceptable         no common answer format                     406
    ├── AlreadyExists         the name is taken                           409
    ├── Conflict              the object changed meanwhile                409
    ├── Expired               older than the history that is kept         410
    ├── TooLarge              body over the limit                         413
    ├── UnsupportedMediaType  body in a format nobody decodes             415
    ├── Invalid               well-formed, but against a rule of a field  422
    ├── Internal              our fault                                   500
    ├── FailedPrecondition    right call, wrong state of the object       (gRPC FAILED_PRECONDITION)
    ├── Unavailable           try again later                             503
    ├── TimedOut              gave up waiting                             504
    ├── Unsupported           cannot be done on this machine, or not yet  501
    └── ToolError             a program we drive said no

Every layer raises these (``linux`` raises plain ``OSError`` with the path). Two tables translate them, one for HTTP Status
(``api/status_http.py``) and one for gRPC; nothing else knows about codes. A message says what failed, which object, what now.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class PodspaceError(Exception):
    """Base of everything podspace raises on purpose. ``str(error)`` is fit for a user's eyes."""


class BadRequest(PodspaceError):
    """The request cannot be understood: not JSON, wrong types, unknown parameters."""


class Unauthorized(PodspaceError):
    """No valid client certificate or token."""


class Forbidden(PodspaceError):
    """Understood and refused. ``resource`` and ``name`` say what was asked for."""

    def __init__(self, message: str, *, resource: str = "", name: str = "", causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.resource = resource
        self.name = name
        self.causes = tuple(causes)


class NotFound(PodspaceError):
    """No such object. ``resource`` is the plural as the API spells it ("pods"); empty for an unknown path."""

    def __init__(self, message: str, *, resource: str = "", name: str = "", group: str = "") -> None:
        super().__init__(message)
        self.resource = resource
        self.name = name
        self.group = group

    @classmethod
    def of(cls, resource: str, name: str, *, group: str = "") -> NotFound:
        """The API server's sentence: ``pods "web" not found``."""
        qualified = f"{resource}.{group}" if group else resource
        return cls(f'{qualified} "{name}" not found', resource=resource, name=name, group=group)


class MethodNotAllowed(PodspaceError):
    """The path exists, the verb does not."""


class NotAcceptable(PodspaceError):
    """None of the formats the client accepts is served."""


class AlreadyExists(PodspaceError):
    """The name is taken."""

    def __init__(self, message: str, *, resource: str = "", name: str = "", group: str = "") -> None:
        super().__init__(message)
        self.resource = resource
        self.name = name
        self.group = group


class Conflict(PodspaceError):
    """The object is not what the caller thought it was: read it again and repeat."""

    def __init__(self, message: str, *, resource: str = "", name: str = "", causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.resource = resource
        self.name = name
        self.causes = tuple(causes)


class Expired(PodspaceError):
    """A resourceVersion or continue token older than the history that is kept."""

    def __init__(self, message: str, *, continue_token: str = "") -> None:
        super().__init__(message)
        self.continue_token = continue_token


class TooLarge(PodspaceError):
    """The request body is over the limit."""


class UnsupportedMediaType(PodspaceError):
    """The request body is in a format nobody here decodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason of a failure, as ``Status.details.causes[]`` has it.

    reason: FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, ...  message: without the field's path.
    """

    reason: str
    message: str
    field: str = ""

    def sentence(self) -> str:
        """``spec.containers[0].name: Required value``."""
        return f"{self.field}: {self.message}" if self.field else self.message


class Invalid(PodspaceError):
    """One or more fields break a rule. ``kind`` is the Kind ("Pod"), as the API server puts it in ``details.kind``."""

    def __init__(self, kind: str, name: str, causes: Sequence[Cause], *, group: str = "", message: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.group = group
        self.causes = tuple(causes)
        super().__init__(message if message is not None else self._compose())

    def _compose(self) -> str:
        sentences = list(dict.fromkeys(cause.sentence() for cause in self.causes))
        qualified = f"{self.kind}.{self.group}" if self.group else self.kind
        listed = sentences[0] if len(sentences) == 1 else "[" + ", ".join(sentences) + "]"
        return f'{qualified} "{self.name}" is invalid: {listed}'


class Internal(PodspaceError):
    """Our fault, or an API server's habit of answering 500 with a plain sentence."""


class FailedPrecondition(PodspaceError):
    """Right call, wrong state of the object."""


class Unavailable(PodspaceError):
    """Not now; trying again later may help."""


class TimedOut(PodspaceError):
    """Gave up waiting. ``retry_after_seconds`` is a hint for the client, ``causes`` as in Status."""

    def __init__(self, message: str, *, retry_after_seconds: int = 0, causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.causes = tuple(causes)


class Unsupported(PodspaceError):
    """Cannot be done on this machine or with this OCI runtime; the message says what is missing."""


class ToolError(PodspaceError):
    """A program we drive (crun, conmon, ...) failed. The message holds a line that can be pasted into a shell."""

    def __init__(self, argv: Sequence[str], exit_status: int, stderr_tail: str, *, environment: Mapping[str, Any] | None = None) -> None:
        self.argv = tuple(argv)
        self.exit_status = exit_status
        self.stderr_tail = stderr_tail.strip()
        self.environment = dict(environment or {})
        detail = self.stderr_tail or f"exit status {exit_status}"
        super().__init__(f"{argv[0]} failed: {detail} (command: {shlex.join(argv)})")
