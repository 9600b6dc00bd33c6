"""Whom a container runs as: passwd(5) and group(5) of its image, and the USER of a Dockerfile.

Pure: text in, numbers out. Called by ``runtime``, which reads the files inside the container's root.
Source: OCI image-spec config.md (User); cri-api api.proto LinuxContainerSecurityContext; KEP-3619 (supplementalGroupsPolicy).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_ID = (1 << 31) - 1  # Docker's and Kubernetes' bound; above it lies (uid_t)-1, which setresuid(2) takes for "stay root"
_NUMBER = re.compile(r"[0-9]{1,18}")  # no int() of thousands of digits, nor of what Unicode calls digits


class UnknownUser(LookupError):
    """The image has no such user or group; ``str()`` is fit for a user's eyes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The outcome. ``home`` is "/" when the image says nothing."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def is_number(text: str) -> bool:
    """Whether a USER names an id, and not an account of the image."""
    return _NUMBER.fullmatch(text) is not None


def _lines(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        parts = line.strip().split(":")
        if len(parts) >= fields and not line.startswith("#"):
            yield parts


def accounts(passwd: str) -> Iterator[Account]:
    """Lines that make no sense are skipped, as libc does."""
    for parts in _lines(passwd, 6):
        if is_number(parts[2]) and is_number(parts[3]):
            yield Account(name=parts[0], uid=int(parts[2]), gid=int(parts[3]), home=parts[5] or "/")


def groups(group: str) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """(name, gid, members)."""
    for parts in _lines(group, 4):
        if is_number(parts[2]):
            yield parts[0], int(parts[2]), tuple(name for name in parts[3].split(",") if name)


def resolve(
    *,
    passwd: str,
    group: str,
    user: str,
    uid: int | None = None,
    gid: int | None = None,
    supplemental: Sequence[int] = (),
    merge_image_groups: bool = True,
) -> User:
    """Return the numbers. ``user``: "" = root, or name|uid[:name|gid]; ``uid`` and ``gid`` win over it.

    Raises: UnknownUser, also for an id that nobody can have.
    """
    name, _, group_name = user.partition(":")
    if uid is not None:
        name, group_name = str(uid), ""
    account = _account(passwd, name or "0")
    main = gid if gid is not None else _gid(group, group_name) if group_name else account.gid
    extra = dict.fromkeys(supplemental)
    if merge_image_groups and account.name:
        extra.update((number, None) for _, number, members in groups(group) if account.name in members)
    extra.pop(main, None)
    if not all(0 <= number <= MAX_ID for number in (account.uid, main, *extra)):
        raise UnknownUser(f"user {name or account.uid}: uids and gids must be in range 0-{MAX_ID}")
    return User(uid=account.uid, gid=main, groups=tuple(extra), home=account.home)


def _account(passwd: str, name: str) -> Account:
    for account in accounts(passwd):
        if account.name == name or (is_number(name) and account.uid == int(name)):
            return account
    if is_number(name):
        return Account(name="", uid=int(name), gid=0, home="/")
    raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")


def _gid(group: str, name: str) -> int:
    for other, number, _ in groups(group):
        if other == name:
            return number
    if is_number(name):
        return int(name)
    raise UnknownUser(f"unable to find group {name}: no matching entries in group file")
