from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream.entry import Entry, visible
from services.gateway.stream.ring import ENTRY_OVERHEAD, MAX_DROPPED, Ring

ALL = 1 << 40
workspaces = st.sampled_from(("acme", "other", "third"))
histories = st.lists(st.one_of(st.none(), workspaces), max_size=300)


def entry(offset: int, workspace: str, size: int = 10) -> Entry:
    return Entry(offset, workspace, None, b"x" * size)


def filled(history: list[str | None], start: int = 100, max_bytes: int = ALL, max_entries: int = 10_000) -> Ring:
    ring = Ring(start, max_bytes, max_entries)
    for offset, workspace in enumerate(history, start):
        if workspace is None:
            ring.advance(offset)
        else:
            ring.append(entry(offset, workspace))
    return ring


def offsets(ring: Ring, workspace: str, after: int) -> list[int]:
    return [found.offset for found in ring.after(workspace, after, ALL).entries]


@given(histories, workspaces, st.integers(0, 400), st.integers(1, 50))
def test_what_is_covered_is_complete(history: list[str | None], workspace: str, back: int, capacity: int) -> None:
    ring = filled(history, max_entries=capacity)
    after = 99 + len(history) - back
    if ring.covers(after):
        expected = [offset for offset, owner in enumerate(history, 100) if owner == workspace and offset > after]
        assert offsets(ring, workspace, after) == expected
        assert ring.after(workspace, after, ALL).upto == ring.last == 99 + len(history)


@given(histories, st.integers(1, 50))
def test_as_much_is_covered_as_the_bound_allows(history: list[str | None], capacity: int) -> None:
    ring = filled(history, max_entries=capacity)
    kept = [offset for offset, owner in enumerate(history, 100) if owner is not None][-capacity:]
    assert ring.covers(ring.last)
    assert all(ring.covers(offset - 1) for offset in kept)


@given(histories, workspaces, st.integers(1, 100))
def test_slices_add_up_to_the_whole(history: list[str | None], workspace: str, max_bytes: int) -> None:
    ring, position, found = filled(history), 99, []
    while position < ring.last:
        part = ring.after(workspace, position, max_bytes)
        assert sum(len(e.frame) for e in part.entries) <= max(max_bytes, 10)
        found += [e.offset for e in part.entries]
        assert part.upto > position
        position = part.upto
    assert found == offsets(ring, workspace, 99)


def test_a_cursor_before_the_start_or_after_the_end_is_not_covered() -> None:
    ring = filled(["acme"] * 3)
    assert [ring.covers(after) for after in (98, 99, 102, 103)] == [False, True, True, False]


def test_an_empty_ring_covers_its_own_end_only() -> None:
    ring = Ring(0, ALL, 10)
    assert ring.covers(-1)
    assert not ring.covers(0)
    assert ring.after("acme", -1, ALL).upto == -1


def test_bytes_are_bounded() -> None:
    ring = filled(["acme"] * 100, max_bytes=10 * (10 + ENTRY_OVERHEAD))
    assert offsets(ring, "acme", ring.start - 1) == list(range(190, 200))


def test_a_dropped_entry_does_not_stay_in_memory_for_long() -> None:
    ring = filled(["acme"] * 10_000, max_entries=10)
    assert len(ring._by_workspace["acme"].entries) < 10 + MAX_DROPPED
    assert "third" not in filled(["third", *["acme"] * 20], max_entries=10)._by_workspace


def test_a_member_sees_what_is_for_all_and_what_is_for_them() -> None:
    for_all, for_ann, for_bob = (
        Entry(1, "acme", tag, frame) for tag, frame in ((None, b"1"), ("agent:ann", b"2"), ("agent:bob", b"3"))
    )
    assert visible((for_all, for_ann, for_bob), "agent:ann") == b"12"
