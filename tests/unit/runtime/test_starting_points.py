"""From where a member reads, and when it must not."""

import pytest

from shared.runtime.faults import Fatal, Fenced
from shared.runtime.holdings import Holdings, starting_points

AT = ("channel.inbound", 3)


@pytest.mark.parametrize(
    ("stored", "begins"), [(None, 10), (10, 10), (15, 15), (20, 20)], ids=["nothing stored", "first", "middle", "end"]
)
def test_reading_begins_at_the_stored_offset_or_at_the_oldest_record(stored: int | None, begins: int) -> None:
    assert starting_points({AT: stored}, {AT: 10}, {AT: 20}) == {AT: begins}


@pytest.mark.parametrize("stored", [0, 9, 21, 1_000_000])
def test_a_stored_offset_outside_of_the_partition_is_fatal_and_names_it(stored: int) -> None:
    with pytest.raises(Fatal, match=rf"{stored} of topic channel.inbound partition 3"):
        starting_points({AT: stored}, {AT: 10}, {AT: 20})


def test_a_released_partition_is_not_ours_from_that_moment() -> None:
    holdings = Holdings()
    holdings.take({AT: 5}, {AT: 0})
    assert holdings.position(AT) == 5

    assert holdings.release() == {AT}

    with pytest.raises(Fenced):
        holdings.position(AT)
    assert holdings.release() == frozenset()


def test_the_view_of_committed_offsets_follows_the_commits() -> None:
    holdings = Holdings()
    holdings.take({AT: 5}, {AT: 5})
    view = holdings.committed
    holdings.handled({AT: 9})
    assert view == {AT: 5}
    holdings.stored({AT: 9})
    assert view == {AT: 9}
