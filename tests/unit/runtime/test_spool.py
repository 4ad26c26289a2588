"""What is put aside comes back by group, each topic's in order, and leaves nothing behind."""

from pathlib import Path

from shared.runtime.spool import Kept, Spool


def kept(key: str, topic: str, offset: int) -> Kept:
    return Kept(key, topic, 3, offset, f"{key}{topic}{offset}".encode())


def test_groups_come_in_order_of_keys_and_topics_in_order_of_offsets(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.put([kept("b", "t", 2), kept("a", "u", 1), kept("b", "t", 10)])
        spool.put([kept("a", "t", 7), kept("b", "t", 1)])
        assert spool.count() == 2
        assert list(spool.groups()) == [
            ("a", [kept("a", "t", 7), kept("a", "u", 1)]),
            ("b", [kept("b", "t", 1), kept("b", "t", 2), kept("b", "t", 10)]),
        ]
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_nothing_put_aside_is_no_group() -> None:
    with Spool() as spool:
        spool.put([])
        assert (spool.count(), list(spool.groups())) == (0, [])
