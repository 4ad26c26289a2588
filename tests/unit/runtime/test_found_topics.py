"""What is said of topics that have too few copies."""

import pytest

from shared.runtime.found_topics import FoundTopic, made_by_few, too_few_copies


def found(*brokers: int) -> dict[str, FoundTopic]:
    """A topic with a copy on each of these."""
    return {"media": FoundTopic(6, len(brokers), frozenset(brokers))}


def test_a_topic_with_fewer_copies_than_would_be_made_now_is_named_with_both_numbers() -> None:
    assert too_few_copies(found(1, 2), {1, 2, 3, 4}) == [
        "topic media has too few copies of a partition, 2 instead of 3 (brokers: 4): make more with "
        "kafka-reassign-partitions.sh (docs/operations.md, More copies)"
    ]


@pytest.mark.parametrize("brokers", [{1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4}])
def test_as_many_copies_as_would_be_made_now_are_enough(brokers: set[int]) -> None:
    assert too_few_copies(found(*sorted(brokers)[:3]), brokers) == []


def test_a_broker_that_is_away_counts_while_it_has_a_copy_of_another_topic() -> None:
    others = {"contacts": FoundTopic(6, 2, frozenset({2, 3}))}
    [fault] = too_few_copies({**found(1, 2, 3), **others}, {1, 2})
    assert "topic contacts has too few copies of a partition, 2 instead of 3 (brokers: 3)" in fault


@pytest.mark.parametrize("answered", [{1, 2, 3}, {1, 2, 3, 4}])
def test_nothing_is_said_of_what_is_made_by_enough_brokers(answered: set[int]) -> None:
    assert made_by_few(found(1, 2, 3), answered) == []


def test_nothing_is_said_of_what_a_broker_makes_that_is_alone() -> None:
    assert made_by_few({}, {1}) == made_by_few(found(1), {1}) == []


def test_what_few_brokers_make_is_said_with_their_number() -> None:
    expected = "brokers that answered: {0}, so what was created has {0} instead of 3 copies of each partition; "
    for answered in ({1}, {1, 2}):
        [said] = made_by_few(found(1, 2, 3), answered)
        assert said.startswith(expected.format(len(answered)))
