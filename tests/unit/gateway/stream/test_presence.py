"""Leases: who is there, as replicas say and as time passes."""

import random
from itertools import pairwise

from services.gateway.stream.presence import Attendance, Presences

ANN, BOB = ("acme", "ann"), ("acme", "bob")
LEASE, RENEW, TICK = 90.0, 30.0, 0.5


def presences() -> Presences:
    return Presences(0.0, TICK)


def test_somebody_never_heard_of_is_offline() -> None:
    assert presences().of(ANN) == "offline"


def test_a_sign_is_news_once() -> None:
    table = presences()
    assert table.note(ANN, "one", "online", LEASE) == "online"
    assert table.note(ANN, "one", "online", LEASE + 30) is None
    assert table.of(ANN) == "online"


def test_a_lease_that_is_not_renewed_ends() -> None:
    table = presences()
    table.note(ANN, "one", "online", LEASE)
    assert table.turn(LEASE - 1) == []
    assert table.turn(LEASE + 1) == [(ANN, "offline")]
    assert table.of(ANN) == "offline"


def test_a_renewed_lease_holds_and_the_member_does_not_flap() -> None:
    table = presences()
    table.note(ANN, "one", "online", LEASE)
    table.note(ANN, "one", "online", 2 * LEASE)
    assert table.turn(LEASE + 1) == []
    assert table.turn(2 * LEASE + 1) == [(ANN, "offline")]


def test_who_is_connected_to_two_replicas_is_there_until_both_leases_end() -> None:
    table = presences()
    table.note(ANN, "one", "online", LEASE)
    assert table.note(ANN, "two", "away", LEASE + 10) is None
    assert table.turn(LEASE + 1) == [(ANN, "away")]
    assert table.turn(LEASE + 11) == [(ANN, "offline")]


def test_offline_is_told_at_once_and_by_that_replica_only() -> None:
    table = presences()
    table.note(ANN, "one", "online", LEASE)
    assert table.note(ANN, "two", "offline", LEASE) is None
    assert table.note(ANN, "one", "offline", LEASE) == "offline"
    assert table.turn(2 * LEASE) == []


def test_a_member_of_another_workspace_with_the_same_id_is_somebody_else() -> None:
    table = presences()
    table.note(ANN, "one", "online", LEASE)
    assert table.of(("other", "ann")) == "offline"


def test_what_is_remembered_of_who_is_gone_is_nothing() -> None:
    table, dice = presences(), random.Random(3)
    for number in range(500):
        table.note(("acme", str(dice.randrange(50))), str(dice.randrange(3)), "online", float(number))
    table.turn(1_000.0)
    assert not table._leases
    assert len(table._ends) == 0


def attendance() -> Attendance:
    return Attendance(0.0, TICK, RENEW)


def test_the_first_page_is_told_and_the_second_is_no_news() -> None:
    here = attendance()
    here.entered(ANN, "page")
    assert here.due(0.0) == [(ANN, "online")]
    here.entered(ANN, "another")
    assert not here.has_news
    assert here.due(1.0) == []


def test_leases_are_renewed_while_somebody_is_there_and_once_each_time() -> None:
    here = attendance()
    here.entered(ANN, "page")
    told: list[float] = []
    for half_seconds in range(400):
        now = half_seconds / 2
        if half_seconds % 7 == 0:  # pages come and go
            here.entered(ANN, "another")
            here.left(ANN, "another")
        told += [now for _ in here.due(now)]
    gaps = [later - earlier for earlier, later in pairwise(told)]
    assert max(gaps) <= RENEW + 2 * TICK
    assert min(gaps) >= RENEW - TICK


def test_who_leaves_is_not_taken_back_and_not_renewed() -> None:
    here = attendance()
    here.entered(ANN, "page")
    here.due(0.0)
    here.left(ANN, "page")
    assert [here.due(float(second)) for second in range(1, 200)] == [[]] * 199


def test_a_member_is_what_the_most_present_page_says() -> None:
    here, page = attendance(), "page"
    here.entered(ANN, page)
    here.entered(ANN, "another")
    here.due(0.0)
    here.says(ANN, page, "away")
    assert here.due(1.0) == []
    here.says(ANN, "another", "away")
    assert here.due(2.0) == [(ANN, "away")]
    here.says(ANN, page, "offline")
    here.says(ANN, "another", "offline")
    assert here.due(3.0) == [(ANN, "offline")]
    assert here.due(3.0 + RENEW + TICK) == [], "offline needs no renewal"


def test_who_is_dismissed_is_offline_at_once() -> None:
    here = attendance()
    here.entered(ANN, "page")
    here.entered(BOB, "page")
    here.due(0.0)
    here.dismissed(ANN)
    here.left(ANN, "page")
    assert here.due(1.0) == [(ANN, "offline")]
    assert here.due(100.0) == [(BOB, "online")]


def test_a_goodbye_is_told_although_the_page_is_gone_by_then() -> None:
    here = attendance()
    here.entered(ANN, "page")
    here.due(0.0)
    here.says(ANN, "page", "offline")
    here.left(ANN, "page")
    assert here.due(1.0) == [(ANN, "offline")]


def test_who_comes_and_goes_in_between_is_not_told() -> None:
    here = attendance()
    here.entered(ANN, "page")
    here.left(ANN, "page")
    assert here.due(0.0) == []


def test_what_could_not_be_told_is_told_again() -> None:
    here = attendance()
    here.entered(ANN, "page")
    lost = here.due(0.0)
    here.not_told(lost)
    assert here.due(1.0) == lost
