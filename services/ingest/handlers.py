"""A channel's request -> records on `channel.inbound`: verify, parse, decide, publish. Knows no server and no store."""

from collections.abc import Mapping
from uuid import UUID

from services.ingest.channels import KINDS
from services.ingest.channels.kind import Refused, Unverified
from services.ingest.core import Acceptance, Taken, records
from services.ingest.lookup import ChannelLookup, OpenChannel
from shared.contracts import wire
from shared.contracts.ids import document_key
from shared.contracts.times import to_timestamp
from shared.contracts.topics import CHANNEL_INBOUND
from shared.runtime.clock import Clock
from shared.runtime.limits import TokenBuckets
from shared.runtime.metrics import Metrics
from shared.runtime.problems import Problem, not_found, too_many_requests
from shared.runtime.producer import Publisher
from shared.runtime.records import Outgoing


class Doorkeeper:
    """Who may come in: finds channels, checks signatures and rates. Raises Problem."""

    def __init__(self, lookup: ChannelLookup, limits: TokenBuckets, clock: Clock) -> None:
        self._lookup = lookup
        self._limits = limits
        self._clock = clock

    async def channel(self, ident: str) -> OpenChannel:
        channel = await self._lookup.find(ident)
        if channel is None:
            raise not_found("There is no such channel.")
        return channel

    def request_id(self, channel: OpenChannel, headers: Mapping[str, str], body: bytes) -> str:
        """The verified sender's name for this request."""
        if len(body) > channel.kind.max_body:
            raise Problem(413, "BODY_TOO_LARGE", f"The body is larger than {channel.kind.max_body:,} bytes.")
        try:
            return channel.kind.verify(channel.valid_secrets(self._clock.now()), headers, body)
        except Unverified as error:
            raise Problem(401, "BAD_SIGNATURE", f"The signature does not verify: {error}.") from None

    def admit(self, channel: OpenChannel, events: int) -> None:
        wait = self._limits.take(channel.record.id, max(1, events))
        if wait:
            raise too_many_requests("This channel sends more than its rate.", wait)


class Intake:
    """What came through a channel goes to Kafka, all of it or nothing that counts: a repeat makes the same records."""

    def __init__(
        self, doorkeeper: Doorkeeper, publisher: Publisher, namespace: UUID, clock: Clock, metrics: Metrics
    ) -> None:
        self._doorkeeper = doorkeeper
        self._publisher = publisher
        self._namespace = namespace
        self._clock = clock
        self._taken = {kind: metrics.counter("inbound_taken", channel_kind=kind) for kind in KINDS}

    async def take(self, channel_id: str, headers: Mapping[str, str], body: bytes) -> list[str]:
        """-> the record ids, once Kafka has acknowledged every record. Problem; Transient where that is unknown."""
        channel = await self._doorkeeper.channel(channel_id)
        try:
            request_id = self._doorkeeper.request_id(channel, headers, body)
            inputs = channel.kind.parse(body)
        except Refused as refused:
            raise _problem(refused) from None
        self._doorkeeper.admit(channel, len(inputs))
        taken = records(self._acceptance(channel, request_id), inputs)
        await self._publisher.publish([outgoing(record) for record in taken])
        self._taken[channel.kind.name].inc(len(taken))
        return [record.id for record in taken]

    def _acceptance(self, channel: OpenChannel, request_id: str) -> Acceptance:
        record = channel.record
        return Acceptance(
            namespace=self._namespace,
            workspace=record.workspace,
            channel_id=record.id,
            channel_kind=record.kind,
            bot_kind=record.bot.kind if record.bot else None,
            accepted_at=to_timestamp(self._clock.now()),
            request_id=request_id,
        )


def outgoing(record: Taken) -> Outgoing:
    key = document_key(record.workspace, record.conversation_id)
    return Outgoing(CHANNEL_INBOUND, key, wire.encode(record), (("type", record.type.encode()),))


def _problem(refused: Refused) -> Problem:
    first = refused.faults[0]
    where = "The body" if first.index is None else f"Event {first.index}" + (f", {first.field}" if first.field else "")
    errors = [
        {"index": fault.index, "field": fault.field, "code": fault.code, "detail": fault.detail}
        for fault in refused.faults
    ]
    return Problem(refused.status, refused.code, f"{where}: {first.detail}. Nothing was taken.", errors=errors)
