from __future__ import annotations

from podspace.oci import capabilities

ALL = capabilities.NAMES


def test_names_are_in_the_kernels_numbering() -> None:
    assert len(ALL) == 41
    assert (ALL.index("CAP_NET_ADMIN"), ALL.index("CAP_SYS_ADMIN"), ALL.index("CAP_CHECKPOINT_RESTORE")) == (12, 21, 40)
    assert capabilities.of_mask(0b101) == ("CAP_CHOWN", "CAP_DAC_READ_SEARCH")


def _resolve(add: tuple[str, ...] = (), drop: tuple[str, ...] = (), *, available: tuple[str, ...] = ALL) -> set[str]:
    return set(capabilities.resolve(add=add, drop=drop, privileged=False, available=available))


def test_the_default_set_is_what_a_container_gets_without_a_word() -> None:
    assert _resolve() == set(capabilities.DEFAULT)
    assert len(capabilities.DEFAULT) == 14


def test_names_are_added_and_dropped_in_any_spelling() -> None:
    assert _resolve(("SYS_PTRACE", "cap_net_admin"), ("MKNOD",)) == set(capabilities.DEFAULT) - {"CAP_MKNOD"} | {
        "CAP_SYS_PTRACE",
        "CAP_NET_ADMIN",
    }


def test_drop_all_keeps_only_what_is_added_by_name() -> None:
    assert _resolve(("NET_BIND_SERVICE",), ("ALL",)) == {"CAP_NET_BIND_SERVICE"}
    assert _resolve((), ("ALL",)) == set()


def test_add_all_is_everything_but_what_is_dropped() -> None:
    assert _resolve(("ALL",), ("SYS_ADMIN",)) == set(ALL) - {"CAP_SYS_ADMIN"}


def test_nothing_is_given_that_the_machine_does_not_have() -> None:
    without = tuple(name for name in ALL if name != "CAP_SYS_RESOURCE")
    assert "CAP_SYS_RESOURCE" not in _resolve(("ALL",), available=without)
    assert capabilities.resolve(add=(), drop=("ALL",), privileged=True, available=without) == without


def test_nothing_is_inheritable_or_ambient() -> None:
    assert set(capabilities.oci(("CAP_KILL",))) == {"bounding", "effective", "permitted"}
