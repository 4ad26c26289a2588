"""Spans of records: sent within a request, handled by a group, read by a tail. Knows no client library.

Names and attributes are those of OpenTelemetry's semantic conventions for messaging and for Kafka
(https://opentelemetry.io/docs/specs/semconv/messaging/kafka/); ours begin with `relaydesk.`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from shared.contracts import topics
from shared.runtime.batches import Batch
from shared.runtime.records import Outgoing, Record
from shared.runtime.tracing import TRACEPARENT, Attributes, Span, Tracing

BY_CONVERSATION = frozenset(
    {topics.CHANNEL_INBOUND, topics.CONVERSATION_COMMANDS, topics.CHANNEL_OUTBOUND, topics.BOT_REQUESTS}
)


def carrying(record: Outgoing, trace: bytes | None) -> Outgoing:
    """The record as part of a trace; as it is where there is none, or where it has one of its own."""
    if trace is None or any(name == TRACEPARENT for name, _ in record.headers):
        return record
    return replace(record, headers=(*record.headers, (TRACEPARENT, trace)))


def received(tracing: Tracing, record: Record, operation: str, group: str | None = None) -> Span | None:
    """A span for a record of a sampled trace; one look-up among its headers for any other."""
    header = record.headers.get(TRACEPARENT)
    if header is None:
        return None
    attributes = _of_record(record, operation)
    if group is not None:
        attributes["messaging.consumer.group.name"] = group
    return tracing.joined(header, f"{operation} {record.topic}", "consumer", attributes)


class Processing:
    """The spans of a group's batches, from their beginning until they are handled. A batch of which nothing is sampled
    costs a look-up a record; where tracing is off, nothing."""

    def __init__(self, tracing: Tracing, group: str) -> None:
        self._tracing = tracing
        self._group = group

    @contextmanager
    def of(self, batch: Batch) -> Iterator[Batch]:
        """The batch, its sampled records with the `trace` that what follows from them carries."""
        spans: list[Span] = []
        if self._tracing.on:
            batch = self._begun(batch, spans)
        try:
            yield batch
        except BaseException as error:
            for span in spans:
                span.end(type(error).__name__)
            raise
        for span in spans:
            span.end()

    def _begun(self, batch: Batch, spans: list[Span]) -> Batch:
        records = list(batch.records)
        for index, record in enumerate(records):
            if (span := received(self._tracing, record, "process", self._group)) is not None:
                records[index] = replace(record, trace=span.traceparent)
                spans.append(span)
        return replace(batch, records=records) if spans else batch


@contextmanager
def sending(parent: Span, records: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """The records, each with the span of its topic's publish as its trace."""
    spans = {
        topic: parent.child(f"send {topic}", "producer", _of_sending(topic, records)) for topic in _topics(records)
    }
    try:
        yield [carrying(record, spans[record.topic].traceparent) for record in records]
    except BaseException as error:
        for span in spans.values():
            span.end(type(error).__name__)
        raise
    for span in spans.values():
        span.end()


def _topics(records: Sequence[Outgoing]) -> list[str]:
    return list(dict.fromkeys(record.topic for record in records))


def _of_sending(topic: str, records: Sequence[Outgoing]) -> Attributes:
    keys = [record.key for record in records if record.topic == topic]
    batch: Attributes = {"messaging.batch.message_count": len(keys)} if len(keys) > 1 else {}
    ids: Attributes = _ids(topic, keys[0], None) if len(set(keys)) == 1 else {}
    return {**_operation("send", "send", topic), **batch, **ids}


def _of_record(record: Record, operation: str) -> dict[str, str | int]:
    subject = record.headers.get("subject") if "seq" in record.headers else None
    return {
        **_operation("process", operation, record.topic),
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "relaydesk.type": _text(record.headers.get("type")),
        **_ids(record.topic, _text(record.key), subject),
    }


def _operation(kind: str, name: str, topic: str) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.type": kind,
        "messaging.operation.name": name,
    }


def _ids(topic: str, key: str, subject: bytes | None) -> dict[str, str | int]:
    """Whose record it is: of most topics the key says so, of an event its subject."""
    if topic in BY_CONVERSATION:
        workspace, _, conversation = key.partition(":")
        return {"relaydesk.workspace": workspace, "relaydesk.conversation_id": conversation}
    if topic != topics.WORKSPACE_EVENTS:
        return {}
    about = {} if subject is None else {"relaydesk.conversation_id": _text(subject)}
    return {"relaydesk.workspace": key, **about}


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
