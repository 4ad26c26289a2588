"""The one factory: each consumer, producer and admin client of Kafka is built here, with every option that matters set.

Groups run on FastStream, groupless reads and the producer on aiokafka, which FastStream is built on.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber
from faststream.middlewares import AckPolicy

from shared.contracts.topics import MAX_RECORD_BYTES, registry
from shared.runtime.assignors import assignors
from shared.runtime.batches import Handler
from shared.runtime.consumer import GroupConsumer
from shared.runtime.deadletter import Forwarder
from shared.runtime.faults import Fatal, Transient
from shared.runtime.group_loop import GroupLoop, GroupOptions, Polled
from shared.runtime.incarnations import Incarnations
from shared.runtime.kafka_access import KafkaAccess
from shared.runtime.metrics import Metrics
from shared.runtime.producer import LETTER_ROOM_BYTES, Producer
from shared.runtime.records import Partition, Record
from shared.runtime.settings import KafkaSettings
from shared.runtime.table import OnChange, Table
from shared.runtime.tail import OnRecords, Start, Tail
from shared.runtime.tracing import OFF, Tracing

# A JoinGroup is answered only when every member has come or the rebalance timeout has passed, and aiokafka gives it the
# same timeout as any request: the order must be  wait for the batch in flight < rebalance < request.
REQUEST_TIMEOUT_MS = 30_000
REBALANCE_TIMEOUT_MS = 25_000
HEARTBEAT_MS = 1_000  # how soon a member hears of a rebalance
METADATA_MAX_AGE_MS = 30_000
PING_TIMEOUT_MS = 900
FETCH_MAX_WAIT_MS = 500

OnFatal = Callable[[BaseException], None]


class Messaging:
    """All access to Kafka of one service.

    `name` and `instance` identify this process to its groups: its next start takes its partitions over at once.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        name: str,
        instance: str,
        metrics: Metrics,
        on_fatal: OnFatal,
        tracing: Tracing = OFF,
    ) -> None:
        self._servers = settings.kafka
        self._access = KafkaAccess(settings)
        self._leaves = settings.kafka_leave_on_stop
        self._prefix = settings.topic_prefix
        self.registry = registry(settings.topic_partitions)
        self._assignors = assignors(settings.topic_partitions)
        self._registered: dict[str, str] = {}
        self.client_id = f"{name}-{instance}"
        self._connection = self._access.of_clients(self.client_id)
        self.metrics = metrics
        self.on_fatal = on_fatal
        self.tracing = tracing

    # names

    def on_broker(self, name: str) -> str:
        """The broker's name of a topic of the registry, or of a group."""
        return self._prefix + name

    def partition(self, at: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + at[0], at[1])

    def registered(self, at: TopicPartition) -> Partition:
        return self._registry_name(at.topic), at.partition

    def record(self, raw: ConsumerRecord) -> Record:
        topic = self._registered.get(raw.topic) or self._registry_name(raw.topic)
        return Record(topic, raw.partition, raw.offset, raw.key, raw.value, dict(raw.headers), raw.timestamp)

    def _registry_name(self, on_broker: str) -> str:
        # one string object for all records of a topic
        return self._registered.setdefault(on_broker, on_broker[len(self._prefix) :])

    # components

    def producer(self, deadline_s: float = 10.0) -> Producer:
        return Producer(self, deadline_s)

    def group(
        self,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        producer: Forwarder,
        options: GroupOptions | None = None,
    ) -> GroupConsumer:
        """A member of `group`; `producer` writes its dead letters."""
        return GroupConsumer(self, (group, tuple(topics)), handler, producer, options or GroupOptions())

    def tail(self, topic: str, on_records: OnRecords, start: Start = "earliest") -> Tail:
        return Tail(self, topic, on_records, start)

    def table(self, topic: str, on_change: OnChange | None = None) -> Table:
        return Table(self, topic, on_change)

    def incarnations(self) -> Incarnations:
        return Incarnations(self)

    async def ping(self) -> None:
        """Return when a broker answers within a second; raises Transient. For readiness: keeps nothing open."""
        client = AIOKafkaClient(**self._connection, request_timeout_ms=PING_TIMEOUT_MS)
        try:
            await client.bootstrap()
        except KafkaError as error:
            raise Transient(f"Kafka does not answer: {error}") from error
        finally:
            await client.close()

    async def partitions_of(self, topic: str) -> list[TopicPartition]:
        """All partitions of a topic. Transient when Kafka does not answer, Fatal when there is no such topic.

        Asks for all topics: a request that names one lets a broker with auto-creation make it.
        """
        name = self.on_broker(topic)
        client = AIOKafkaClient(**self._connection)
        try:
            await client.bootstrap()
            found = (await client.fetch_all_metadata()).partitions_for_topic(name)
        except KafkaError as error:
            raise Transient(f"Kafka does not answer: {error}") from error
        finally:
            await client.close()
        if not found:
            raise Fatal(f"topic {name} is missing: run `relaydesk topics apply`")
        return [TopicPartition(name, number) for number in sorted(found)]

    # clients

    def admin_client(self) -> AIOKafkaAdminClient:
        return AIOKafkaAdminClient(**self._connection, request_timeout_ms=REQUEST_TIMEOUT_MS)

    def producer_client(self) -> AIOKafkaProducer:
        """Not through FastStream, which builds a command, an id and text headers per message: ours are bytes."""
        return AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            # One request per broker is under way at a time, so records gather while it is: no artificial delay needed.
            linger_ms=0,
            max_batch_size=256 * 1024,
            max_request_size=MAX_RECORD_BYTES + LETTER_ROOM_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )

    def reader_client(self) -> AIOKafkaConsumer:
        """A consumer without a group: assign partitions and seek before the next await.

        "none": a position out of range raises instead of jumping somewhere.
        """
        return AIOKafkaConsumer(
            **self._connection,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=MAX_RECORD_BYTES + LETTER_ROOM_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )

    def offsets_client(self, group: str) -> AIOKafkaConsumer:
        """Sees and sets the offsets of a group that has no members; never joins it."""
        return AIOKafkaConsumer(
            **self._connection,
            group_id=self.on_broker(group),
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )

    def group_subscriber(
        self, group: str, topics: Sequence[str], loop: GroupLoop, options: GroupOptions
    ) -> tuple[KafkaBroker, BatchSubscriber]:
        """FastStream's broker with one batch subscriber, every default that loses messages turned off."""
        broker = KafkaBroker(
            self._servers,
            client_id=self.client_id,
            **self._access.of_broker(),
            consumer_only=True,  # no producer and no admin client of FastStream's own
            allow_auto_create_topics=False,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            graceful_timeout=None,  # cancels without waiting; the group's own stop has waited for the batch before
            logger=None,  # it logs twice per batch
            apply_types=False,  # no pydantic model per message
            serializer=None,
        )
        subscriber = broker.subscriber(
            *(self.on_broker(topic) for topic in topics),
            batch=True,
            group_id=self.on_broker(group),
            group_instance_id=self.client_id,
            # FastStream acks the consumer's position, not the message, and loses it when a handler raises: none here.
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            # Not "earliest": that would also swallow a position out of range. Where nothing is committed, the loop
            # seeks to the earliest record itself.
            auto_offset_reset="none",
            partition_assignment_strategy=self._assignors,
            heartbeat_interval_ms=HEARTBEAT_MS,
            session_timeout_ms=int(options.session_timeout_s * 1000),
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=int(options.max_poll_interval_s * 1000),
            max_partition_fetch_bytes=MAX_RECORD_BYTES + LETTER_ROOM_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            listener=loop.rebalance,
            parser=_unparsed,
            decoder=_undecoded,
        )
        # FastStream's own poll sleeps again after an empty one, and its loop waits 5 s after any Kafka error.
        # Subscribers keep a `__dict__` so that methods can be replaced on the instance; this is the one that is.
        subscriber.get_msg = loop.poll  # type: ignore[method-assign]
        subscriber(loop.deliver)
        return broker, subscriber

    def before_close(self, subscriber: BatchSubscriber) -> None:
        """A static member that is closed keeps its partitions for its next start, unless the settings say it leaves."""
        coordinator = subscriber.consumer and subscriber.consumer._coordinator
        if self._leaves and coordinator is not None:
            # The client asks the broker to let it go only where it knows of no name of its own.
            coordinator._group_instance_id = None


async def _unparsed(polled: Polled) -> KafkaMessage:
    """One envelope per batch; the default parser builds the headers of each record anew."""
    return KafkaMessage(polled, b"", correlation_id="batch", consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> Any:
    return cast("Polled", message.raw_message)
