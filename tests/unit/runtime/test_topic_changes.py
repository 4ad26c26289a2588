"""What is set on a topic that exists."""

from shared.runtime.found_topics import FoundTopic
from shared.runtime.topic_changes import change

DECLARED = {"cleanup.policy": "delete", "max.message.bytes": "2000"}


def found(**own: str) -> FoundTopic:
    """With the broker's defaults, and these settings of its own (`_` for each dot)."""
    settings = {name.replace("_", "."): value for name, value in own.items()}
    return FoundTopic(1, {"compression.type": "producer", **DECLARED, **settings}, settings)


def test_nothing_is_set_where_all_is_as_declared_whatever_else_there_is() -> None:
    assert change(found(), DECLARED) == {}
    assert change(found(compression_type="zstd"), DECLARED) == {}


def test_what_differs_is_set_and_an_operators_own_settings_are_sent_along() -> None:
    topic = found(compression_type="zstd", cleanup_policy="compact")
    assert change(topic, DECLARED) == {"compression.type": "zstd", **DECLARED}


def test_a_brokers_default_is_not_made_a_setting_of_the_topic() -> None:
    assert change(found(cleanup_policy="compact"), DECLARED) == DECLARED


def test_what_the_broker_does_not_know_is_set() -> None:
    assert change(found(), {**DECLARED, "segment.ms": "1"}) == {**DECLARED, "segment.ms": "1"}
