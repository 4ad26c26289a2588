"""What `topics apply` sets on a topic that exists: what is declared beside an operator's own, no shorter retention."""

from collections.abc import Mapping

from shared.runtime.found_topics import Found, FoundTopic, Settings

RETENTION = ("retention.ms", "retention.bytes", "delete.retention.ms")
"""Who made one of these longer did it for a reader that is behind. When it is shortened, the broker deletes at once
what that reader has yet to see: records, or the tombstones by which a copy hears of an erasure.

`max.compaction.lag.ms` is none of them: compaction leaves each key's latest record, so a longer one saves nothing, and
keeps on the disk what was erased."""

FOR_EVER = "-1"


def change(topic: FoundTopic, declared: Settings, shorten: bool) -> Settings:
    """All settings that the topic is to have of its own; empty where none needs to be set.

    Kafka's AlterConfigs takes those away that it does not name, so the operator's are among them.
    """
    wanted = {**declared, **({} if shorten else kept_longer(topic, declared))}
    if all(topic.settings.get(name) == value for name, value in wanted.items()):
        return {}
    return {**topic.own, **wanted}


def kept_longer(topic: FoundTopic, declared: Settings) -> Settings:
    """The topic's retention where it is longer than declared, by the setting's name."""
    both = topic.settings.keys() & declared.keys()
    return {
        name: topic.settings[name]
        for name in RETENTION
        if name in both and _amount(topic.settings[name]) > _amount(declared[name])
    }


def longer_retention(found: Found, declared: Mapping[str, Settings]) -> list[str]:
    """A sentence for each setting that is left longer; `declared` by topic."""
    return [
        f"topic {name} has {setting} {value}, declared is {declared[name][setting]}: it stays until "
        "`relaydesk topics apply --shorten`"
        for name, topic in found.items()
        for setting, value in kept_longer(topic, declared[name]).items()
    ]


def _amount(value: str) -> float:
    return float("inf") if value == FOR_EVER else int(value)
