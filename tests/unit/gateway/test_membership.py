from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.membership import Change, Claims, MemberState, changed, may_change, seen, updated
from shared.contracts.events import MemberUpdated, data_of
from shared.contracts.resources import Role

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GRACE = MemberState("acme", "grace", 3, claims=Claims("Grace", "agent", NOON))


def test_a_token_with_the_same_content_is_no_news() -> None:
    assert seen(GRACE, Claims("Grace", "agent", NOON + timedelta(hours=1))) is None


def test_a_newer_token_is_believed_and_an_older_one_is_not() -> None:
    promoted = seen(GRACE, Claims("Grace", "manager", NOON + timedelta(seconds=1)))
    assert promoted is not None and promoted.role == "manager"
    assert seen(promoted, Claims("Grace", "agent", NOON)) is None


def test_somebody_new_is_what_the_token_says() -> None:
    member = seen(MemberState("acme", "ada"), Claims("Ada", "owner", NOON))
    assert member is not None and (member.name, member.role, member.active) == ("Ada", "owner", True)


def test_what_was_set_overrides_every_later_token() -> None:
    member = changed(GRACE, Change(role="manager", name="G."))
    later = seen(member, Claims("Grace", "owner", NOON + timedelta(days=1)))
    assert later is not None and (later.role, later.name) == ("manager", "G.")


def test_a_change_keeps_what_it_does_not_name() -> None:
    asleep = changed(GRACE, Change(active=False))
    assert (asleep.role, asleep.name, asleep.active) == ("agent", "Grace", False)
    assert changed(asleep, Change(role="manager")).active is False
    assert changed(asleep, Change(active=True)) == GRACE


@pytest.mark.parametrize(
    ("role", "target", "change", "allowed"),
    [
        ("owner", "agent", Change(role="owner"), True),
        ("owner", "owner", Change(active=False), True),
        ("manager", "agent", Change(role="manager"), True),
        ("manager", "manager", Change(active=False), True),
        ("manager", "agent", Change(role="owner"), False),
        ("manager", "owner", Change(name="x"), False),
        ("manager", "owner", Change(role="agent"), False),
    ],
)
def test_only_owners_touch_owners(role: Role, target: Role, change: Change, allowed: bool) -> None:
    state = MemberState("acme", "target", 1, role_set=target)
    assert (may_change(("actor", role), state, change) is None) is allowed


def test_nobody_deactivates_themselves() -> None:
    owner = MemberState("acme", "olivia", 1, role_set="owner")
    assert may_change(("olivia", "owner"), owner, Change(active=False)) is not None
    assert may_change(("olivia", "owner"), owner, Change(name="O.")) is None


def test_the_event_carries_the_member_as_of_its_version_and_one_id_a_version() -> None:
    event = updated(GRACE, "agent:olivia", "2026-01-01T12:00:00.000Z")
    assert (event.subject, event.version, event.seq) == ("grace", 3, None)
    assert data_of(event) == MemberUpdated(member=GRACE.shown())
    assert event == updated(GRACE, "agent:olivia", "2026-01-01T12:00:00.000Z")
    assert event.id != updated(MemberState("acme", "grace", 4), "system", event.time).id
