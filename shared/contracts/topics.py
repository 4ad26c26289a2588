"""The topic registry: code, docs, manifests and `relaydesk topics apply` read it; topics are declared here only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

Cleanup = Literal["delete", "compact"]

CHANNEL_INBOUND = "channel.inbound"
CONVERSATION_COMMANDS = "conversation.commands"
WORKSPACE_EVENTS = "workspace.events"
CHANNEL_OUTBOUND = "channel.outbound"
BOT_REQUESTS = "bot.requests"
MEDIA_JOBS = "media.jobs"
CONTACTS = "contacts"
MEDIA = "media"
CHANNELS = "channels"
META = "relaydesk.meta"
WORKSPACE_EPHEMERAL = "workspace.ephemeral"

MAX_RECORD_BYTES = 2 * 1024 * 1024
WEEK = timedelta(days=7)
FORGOTTEN = {
    "max.compaction.lag.ms": str(7 * 24 * 3600 * 1000),
    "delete.retention.ms": str(8 * 24 * 3600 * 1000),
}
"""Of compacted topics with personal data: what was replaced or erased is off the disk as soon as with other topics, and
a copy that is away for less than a week hears of the erasure."""
PARTITIONS = 12
"""Of the topics whose records are kept in order by conversation, contact or workspace, unless a setting says another
number (`RELAYDESK_TOPIC_PARTITIONS`): they bound how many members a group can have at work."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must exist on the broker. `key` is the record key's form; `dlq` says that a group consumes it."""

    name: str
    key: str
    partitions: int
    cleanup: Cleanup
    retention: timedelta | None
    carries: tuple[str, ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    dlq: bool = False
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def sized(self) -> bool:
        """Whether an installation may choose its number of partitions."""
        return self.partitions == PARTITIONS


def dead_letter_name(topic: str) -> str:
    return f"{topic}.dlq"


_DECLARED = (
    Topic(
        CHANNEL_INBOUND,
        "workspace:conversation_id",
        PARTITIONS,
        "delete",
        WEEK,
        ("MessageReceived", "MessageEdited", "MessageDeleted", "ReceiptReceived", "ContactSeen", "DeliveryReported"),
        ("ingest", "dispatch"),
        ("routing",),
        dlq=True,
    ),
    Topic(
        CONVERSATION_COMMANDS,
        "workspace:conversation_id",
        PARTITIONS,
        "delete",
        WEEK,
        (
            "SendReply",
            "AddNote",
            "Assign",
            "DisableBot",
            "EnableBot",
            "Close",
            "Reopen",
            "UpdateContact",
            "EraseContact",
            "BotReply",
            "BotFailed",
        ),
        ("gateway", "dispatch"),
        ("routing",),
        dlq=True,
    ),
    Topic(
        WORKSPACE_EVENTS,
        "workspace",
        PARTITIONS,
        "delete",
        WEEK,
        ("events",),
        ("routing", "gateway", "snippets", "media"),
        ("gateway",),
        dlq=True,
    ),
    Topic(
        CHANNEL_OUTBOUND,
        "workspace:conversation_id",
        PARTITIONS,
        "delete",
        WEEK,
        ("DeliverMessage", "BotFence", "EraseConversation"),
        ("routing",),
        ("dispatch",),
        dlq=True,
    ),
    Topic(
        BOT_REQUESTS,
        "workspace:conversation_id",
        PARTITIONS,
        "delete",
        WEEK,
        ("BotRequest", "EraseConversation"),
        ("routing",),
        ("dispatch",),
        dlq=True,
    ),
    Topic(
        MEDIA_JOBS,
        "media_id",
        6,
        "delete",
        WEEK,
        ("FetchMedia", "ProcessMedia", "MediaReferenced", "EraseConversation"),
        ("routing", "media"),
        ("media",),
        dlq=True,
    ),
    Topic(
        CONTACTS,
        "workspace:contact_id",
        PARTITIONS,
        "compact",
        None,
        ("ContactRecord",),
        ("routing",),
        ("snippets",),
        dlq=True,
        config=FORGOTTEN,
    ),
    Topic(
        MEDIA,
        "media_id",
        6,
        "compact",
        None,
        ("MediaRecord",),
        ("media",),
        ("gateway",),
        dlq=True,
        config=FORGOTTEN,
    ),
    Topic(
        CHANNELS,
        "channel_id",
        1,
        "compact",
        None,
        ("ChannelRecord",),
        ("ingest",),
        ("gateway", "dispatch", "media"),
    ),
    Topic(META, "topic", 1, "compact", None, ("incarnations",), ("topics apply",), ("every service",)),
    Topic(
        WORKSPACE_EPHEMERAL,
        "workspace",
        PARTITIONS,
        "delete",
        timedelta(minutes=5),
        ("typing", "presence"),
        ("gateway",),
        ("gateway",),
    ),
)


def _dead_letters(topic: Topic) -> Topic:
    consumers = ("relaydesk dlq",)
    return Topic(
        dead_letter_name(topic.name),
        topic.key,
        1,
        "delete",
        timedelta(days=30),
        topic.carries,
        topic.consumers,
        consumers,
    )


TOPICS: Mapping[str, Topic] = {
    topic.name: topic for topic in (*_DECLARED, *(_dead_letters(t) for t in _DECLARED if t.dlq))
}


def registry(partitions: int) -> Mapping[str, Topic]:
    """The topics of an installation that has chosen this number."""
    return {name: replace(topic, partitions=partitions) if topic.sized else topic for name, topic in TOPICS.items()}


ROUTING_INPUTS = (CHANNEL_INBOUND, CONVERSATION_COMMANDS)
"""Same key and same partition count, so that partition p of both has one owner (DESIGN 3.1)."""
