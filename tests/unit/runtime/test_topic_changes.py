"""What is set on a topic that exists."""

import pytest

from shared.runtime.found_topics import FoundTopic
from shared.runtime.topic_changes import RETENTION, change, longer_retention

DECLARED = {"cleanup.policy": "delete", "max.message.bytes": "2000"}


def found(**own: str) -> FoundTopic:
    """With the broker's defaults, and these settings of its own (`_` for each dot)."""
    settings = {name.replace("_", "."): value for name, value in own.items()}
    return FoundTopic(1, settings={"compression.type": "producer", **DECLARED, **settings}, own=settings)


def test_nothing_is_set_where_all_is_as_declared_whatever_else_there_is() -> None:
    assert change(found(), DECLARED, shorten=False) == {}
    assert change(found(compression_type="zstd"), DECLARED, shorten=False) == {}


def test_what_differs_is_set_and_an_operators_own_settings_are_sent_along() -> None:
    topic = found(compression_type="zstd", cleanup_policy="compact")
    assert change(topic, DECLARED, shorten=False) == {"compression.type": "zstd", **DECLARED}


def test_a_brokers_default_is_not_made_a_setting_of_the_topic() -> None:
    assert change(found(cleanup_policy="compact"), DECLARED, shorten=False) == DECLARED


def test_what_the_broker_does_not_know_is_set() -> None:
    assert change(found(), {**DECLARED, "segment.ms": "1"}, shorten=False) == {**DECLARED, "segment.ms": "1"}


@pytest.mark.parametrize("setting", RETENTION)
@pytest.mark.parametrize("longer", ["101", "-1"])
def test_a_longer_retention_is_left_unless_it_is_to_be_shortened(setting: str, longer: str) -> None:
    topic, declared = FoundTopic(1, settings={setting: longer}, own={setting: longer}), {setting: "100"}
    assert change(topic, declared, shorten=False) == {}
    assert change(topic, declared, shorten=True) == {setting: "100"}


@pytest.mark.parametrize("setting", RETENTION)
@pytest.mark.parametrize(("shorter", "declared"), [("99", "100"), ("100", "-1")])
def test_a_shorter_retention_is_made_as_long_as_declared(setting: str, shorter: str, declared: str) -> None:
    topic = FoundTopic(1, settings={setting: shorter}, own={setting: shorter})
    assert change(topic, {setting: declared}, shorten=False) == {setting: declared}
    assert longer_retention({"media": topic}, {"media": {setting: declared}}) == []


def test_a_longer_retention_stays_when_another_setting_is_mended() -> None:
    topic = found(retention_ms="200", cleanup_policy="compact")
    expected = {**DECLARED, "retention.ms": "200"}
    assert change(topic, {**DECLARED, "retention.ms": "100"}, shorten=False) == expected


def test_a_later_compaction_is_no_retention_and_is_set_back() -> None:
    topic, declared = found(max_compaction_lag_ms="200"), {**DECLARED, "max.compaction.lag.ms": "100"}
    assert change(topic, declared, shorten=False) == declared


def test_what_is_left_longer_is_said_with_the_way_back() -> None:
    topics = {"media": found(retention_ms="200"), "contacts": found(retention_ms="100")}
    declared = {name: {"retention.ms": "100"} for name in topics}
    assert longer_retention(topics, declared) == [
        "topic media has retention.ms 200, declared is 100: it stays until `relaydesk topics apply --shorten`"
    ]
