from __future__ import annotations

from typing import Any

import pytest

from podspace.oci import users

PASSWD = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nweb:x:101:102:web:/var/www:/bin/sh\nodd:x:abc:1:::\n"
GROUP = "root:x:0:\nweb:x:102:\nextra:x:300:root,web\nmore:x:301:web\n"


def _resolve(user: str = "", **kwargs: Any) -> users.User:
    return users.resolve(passwd=PASSWD, group=GROUP, user=user, **kwargs)


def test_nobody_said_anything_is_root() -> None:
    assert _resolve() == users.User(uid=0, gid=0, groups=(300,), home="/root")


def test_a_name_brings_its_groups_and_home() -> None:
    assert _resolve("web") == users.User(uid=101, gid=102, groups=(300, 301), home="/var/www")
    assert _resolve("101") == _resolve("web")


def test_a_group_after_a_colon_is_the_main_one() -> None:
    assert _resolve("web:extra").gid == 300
    assert _resolve("web:55").gid == 55
    assert 300 not in _resolve("web:extra").groups


def test_a_number_the_image_does_not_know_is_fine_a_name_is_not() -> None:
    assert _resolve("4000") == users.User(uid=4000, gid=0, groups=(), home="/")
    with pytest.raises(users.UnknownUser, match="unable to find user ghost"):
        _resolve("ghost")
    with pytest.raises(users.UnknownUser, match="unable to find group ghosts"):
        _resolve("web:ghosts")


def test_numbers_of_the_pod_win_over_the_image() -> None:
    assert _resolve("ghost", uid=101, gid=7, supplemental=(9, 7)) == users.User(uid=101, gid=7, groups=(9, 300, 301), home="/var/www")


def test_a_strict_policy_leaves_the_images_groups_out() -> None:
    assert _resolve("web", supplemental=(9,), merge_image_groups=False).groups == (9,)


@pytest.mark.parametrize(
    ("user", "ids"), [("4294967295", {}), ("4294967296", {}), ("1:4294967295", {}), ("", {"uid": 2**32 - 1}), ("", {"supplemental": (-1,)})]
)
def test_an_id_that_nobody_can_have_is_refused(user: str, ids: dict[str, Any]) -> None:
    """setresuid(2) takes (uid_t)-1 for "as it is", and that is root."""
    with pytest.raises(users.UnknownUser, match="must be in range 0-2147483647"):
        _resolve(user, **ids)


def test_an_account_of_the_image_with_such_an_id_is_refused() -> None:
    with pytest.raises(users.UnknownUser, match="must be in range"):
        users.resolve(passwd="odd:x:4294967295:1::/:\n", group="", user="odd")


def test_what_unicode_calls_a_digit_is_a_name() -> None:
    with pytest.raises(users.UnknownUser, match="unable to find user ²"):
        _resolve("²")


def test_an_image_without_files_runs_as_numbers() -> None:
    assert users.resolve(passwd="", group="", user="1:2") == users.User(uid=1, gid=2, groups=(), home="/")
