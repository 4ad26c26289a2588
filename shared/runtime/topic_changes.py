"""What `topics apply` sets on a topic that exists: what is declared, beside what an operator set."""

from shared.runtime.found_topics import FoundTopic, Settings


def change(topic: FoundTopic, declared: Settings) -> Settings:
    """All settings that the topic is to have of its own; empty where none needs to be set.

    Kafka's AlterConfigs takes those away that it does not name, so the operator's are among them.
    """
    if all(topic.settings.get(name) == value for name, value in declared.items()):
        return {}
    return {**topic.own, **declared}
