"""Ids are deterministic and can't be confused; times are normalised; a status never falls."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import ids
from shared.contracts.resources import MessageStatus
from shared.contracts.statuses import raised
from shared.contracts.times import normalized

NAMESPACE = UUID("6f0c7f0e-52a1-4f6e-9f5b-0d7a1f3c2b10")
STATUSES: tuple[MessageStatus, ...] = ("queued", "sent", "delivered", "read", "played", "failed", "unknown")


def test_a_contact_id_needs_the_installation_secret() -> None:
    one = ids.contact_id(NAMESPACE, "acme", "c", "1")
    assert one == ids.contact_id(NAMESPACE, "acme", "c", "1")
    assert one != ids.contact_id(UUID(int=1), "acme", "c", "1")


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_different_names_make_different_contacts(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (ids.canonical(*one) == ids.canonical(*other)) == (one == other)


@given(st.integers(1, 10**15))
def test_a_message_id_splits_into_what_made_it(seq: int) -> None:
    conversation = ids.conversation_id(ids.contact_id(NAMESPACE, "acme", "c", "1"))
    assert ids.split_message_id(ids.message_id(conversation, seq)) == (conversation, seq)


@given(st.text())
def test_anything_else_is_no_message_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a message id"):
        ids.split_message_id(text)


@pytest.mark.parametrize(
    ("given_time", "ours"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31T12:00:00.1239+02:00", "2026-01-31T10:00:00.123Z"),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00.000Z"),
    ],
)
def test_any_rfc_3339_time_becomes_utc_with_milliseconds(given_time: str, ours: str) -> None:
    assert normalized(given_time) == ours


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "2026-13-31T12:00:00Z", "1"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|month"):
        normalized(text)


@given(st.lists(st.sampled_from(STATUSES), max_size=20))
def test_a_status_that_proves_arrival_is_never_lowered(reports: list[MessageStatus]) -> None:
    order = ("delivered", "read", "played")
    status: MessageStatus = "queued"
    best = -1
    for report in reports:
        status = raised(status, report) or status
        best = max(best, order.index(report) if report in order else -1)
        assert best == -1 or status == order[best]
