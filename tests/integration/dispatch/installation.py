"""Dispatch as it runs, on real engines: lives that are started, stopped and killed, and the topics around them."""

import dataclasses
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pymongo import AsyncMongoClient

from relaydesk.installation import Secrets
from services.dispatch.app import Kinds, build, kinds
from services.dispatch.settings import DispatchSettings
from shared.contracts import topics
from shared.contracts.commands import Command
from shared.contracts.ids import document_key, message_id
from shared.contracts.inbound import DeliveryReported
from shared.contracts.outbound import (
    BotFence,
    BotRequest,
    ChannelRecord,
    DeliverMessage,
    EraseConversation,
    Outbound,
    SealedSecret,
)
from shared.contracts.resources import Author, BotSettings
from shared.contracts.times import to_timestamp
from shared.contracts.wire import decode_command, decode_inbound, encode
from shared.engines.addresses import Addresses
from shared.runtime.clock import SystemClock
from shared.runtime.component import Component, Service
from shared.runtime.consumer import GroupConsumer
from shared.runtime.health import Health
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.producer import partition_for
from shared.runtime.records import Outgoing, Record
from shared.runtime.secrets import SecretBox
from shared.runtime.settings import KafkaSettings
from shared.runtime.table import Table
from shared.runtime.topic_admin import apply
from shared.testing.eventually import PATIENCE_S, eventually
from tests.unit.dispatch.builders import request

SECRET = "whsec_" + "QUFB" * 8
TOPICS = {
    name: topics.TOPICS[name]
    for name in (
        topics.CHANNEL_OUTBOUND,
        topics.dead_letter_name(topics.CHANNEL_OUTBOUND),
        topics.BOT_REQUESTS,
        topics.dead_letter_name(topics.BOT_REQUESTS),
        topics.CHANNELS,
        topics.CHANNEL_INBOUND,
        topics.CONVERSATION_COMMANDS,
        topics.META,
    )
}
PATIENT = {
    "dispatch_timeout_s": 20.0,
    "dispatch_fence_patience_s": 15.0,
    "dispatch_bot_deadline_s": 20.0,
    "dispatch_backoff_s": 0.05,
}
"""Whoever answers is in time, however busy the machine is; the next attempt comes soon."""
QUICK = {"dispatch_timeout_s": 0.5, "dispatch_fence_patience_s": 0.5}
"""For what begins when the claim of an attempt has run out."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    name: str
    folder: Path

    @property
    def topic_prefix(self) -> str:
        return f"{self.name}."


class Installation:
    """What is around dispatch: topics, what routing would write to them and read from them."""

    def __init__(self, place: Place, secrets: Secrets, gateway_url: str) -> None:
        self.place, self.secrets, self._gateway_url = place, secrets, gateway_url
        settings = KafkaSettings(kafka=place.engines.kafka, topic_prefix=place.topic_prefix)
        self.messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)
        self._producer = self.messaging.producer()
        self._reports: dict[str, DeliveryReported] = {}
        self._commands: dict[str, list[Command]] = {}
        self._tails = [
            self.messaging.tail(topics.CHANNEL_INBOUND, self._keep_reports),
            self.messaging.tail(topics.CONVERSATION_COMMANDS, self._keep_commands),
        ]
        self.contradictions: list[str] = []
        self._box = SecretBox(SecretStr(secrets.secrets_key))
        self._versions = 0
        self._mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(place.engines.mongo, tz_aware=True)
        self.db = self._mongo[f"{place.name}_dispatch"]

    async def start(self) -> None:
        await apply(self.messaging, TOPICS)
        await self._producer.start()
        for tail in self._tails:
            await tail.start()

    async def stop(self) -> None:
        for tail in self._tails:
            await tail.stop()
        await self._producer.stop()
        await self._mongo.close()

    def settings(self, **changes: object) -> DispatchSettings:
        engines = self.place.engines
        given: dict[str, object] = {
            "kafka": engines.kafka,
            "mongo": engines.mongo,
            "s3": engines.s3,
            "s3_access_key": engines.s3_keys.access,
            "s3_secret_key": engines.s3_keys.secret,
            "topic_prefix": self.place.topic_prefix,
            "mongo_prefix": self.place.name,
            "id_namespace": self.secrets.id_namespace,
            "secrets_key": self.secrets.secrets_key,
            "jwt_keys": self.secrets.jwt_public,
            "gateway_url": self._gateway_url,
            "allow_private_urls": True,
        }
        return DispatchSettings.model_validate(given | PATIENT | changes)

    @asynccontextmanager
    async def dispatch(self, channel_kinds: Kinds = kinds, **changes: object) -> AsyncIterator[Service]:
        """One life; stopped in order at the end."""
        service = build(self.settings(**changes), channel_kinds)
        started: list[Component] = []
        try:
            for component in service.components:
                started.append(component)
                await component.start()
            yield service
        finally:
            for component in reversed(started):
                await component.stop()

    @asynccontextmanager
    async def onlooker(self, **changes: object) -> AsyncIterator[Service]:
        """A replica that owns no lanes (it reads no group topic), but answers HTTP and sees the same database."""
        service = build(self.settings(**changes))
        started: list[Component] = []
        try:
            for component in service.components:
                if not isinstance(component, GroupConsumer):
                    started.append(component)
                    await component.start()
            yield service
        finally:
            for component in reversed(started):
                await component.stop()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        await self._producer.publish(records)

    async def channel(self, url: str, ident: str = "", kind: str = "webhook", **changes: Any) -> str:
        """Make a channel, or change the one with this id; its id."""
        ident, self._versions = ident or str(uuid.uuid4()), self._versions + 1
        record = ChannelRecord(
            workspace=changes.pop("workspace", "acme"),
            id=ident,
            kind=kind,
            name="test",
            settings={"outbound_url": url},
            bot=BotSettings(kind="webhook", settings={"url": changes.pop("bot_url", url)}),
            secrets=(SealedSecret(sealed=self._box.seal(SECRET.encode(), ident)),),
            version=self._versions,
            **changes,
        )
        await self.publish([Outgoing(topics.CHANNELS, ident, encode(record))])
        return ident

    def reports(self, wanted: Sequence[DeliverMessage]) -> dict[str, DeliveryReported]:
        """By message id, as far as they are there; fails where two different things were said about one message."""
        assert not self.contradictions
        idents = [record.message_id for record in wanted]
        return {ident: self._reports[ident] for ident in idents if ident in self._reports}

    async def reported(self, wanted: Sequence[DeliverMessage], timeout: float = PATIENCE_S) -> list[DeliveryReported]:
        """Wait for the reports of all these messages; in their order."""

        def all_there() -> list[DeliveryReported]:
            told = self.reports(wanted)
            return [told[one.message_id] for one in wanted] if len(told) == len(wanted) else []

        return await eventually(all_there, f"{len(wanted)} reports", timeout)

    def commands(self, conversation: str) -> list[Command]:
        """What bots said, as routing gets it."""
        return self._commands.get(conversation, [])

    def _keep_reports(self, records: Sequence[Record]) -> None:
        for record in records:
            report = decode_inbound(record.value or b"")
            assert isinstance(report, DeliveryReported)
            if self._reports.setdefault(report.message_id, report) != report:
                self.contradictions.append(report.message_id)

    def _keep_commands(self, records: Sequence[Record]) -> None:
        for record in records:
            command = decode_command(record.value or b"")
            self._commands.setdefault(command.conversation_id, []).append(command)

    async def lapse(self) -> None:
        """The claims of all attempts under way have run out."""
        past = SystemClock().now() - timedelta(seconds=1)
        await self.db.deliveries.update_many({"claim": {"$ne": None}}, {"$set": {"claim.until": past}})

    async def state(self, record: DeliverMessage) -> dict[str, Any]:
        found = await self.db.deliveries.find_one({"_id": document_key(record.workspace, record.message_id)})
        return found or {}


async def known(life: Service, channel: str) -> None:
    """Once dispatch has read of it: a lane in its turn at that moment is hurried, and would attempt twice."""
    (table,) = [part for part in life.components if isinstance(part, Table)]
    await eventually(lambda: channel in table, "the channel is known")


@dataclasses.dataclass
class Talk:
    """A conversation of a channel, as routing would write it."""

    installation: Installation
    channel_id: str
    kind: str = "webhook"
    workspace: str = "acme"
    conversation: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    seq: int = 2

    def messages(self, count: int, epoch: int | None = None, **changes: Any) -> list[DeliverMessage]:
        author = (
            Author(kind="agent", id="grace", name="Grace") if epoch is None else Author(kind="bot", id=None, name="bot")
        )
        made = []
        for _ in range(count):
            self.seq += 1
            given: dict[str, Any] = {
                "workspace": self.workspace,
                "channel_id": self.channel_id,
                "channel_kind": self.kind,
                "conversation_id": self.conversation,
                "message_id": message_id(self.conversation, self.seq),
                "seq": self.seq,
                "to": f"customer of {self.conversation}",
                "text": f"message {self.seq}",
                "author": author,
                "bot_epoch": epoch,
                "queued_at": to_timestamp(SystemClock().now()),
            }
            made.append(DeliverMessage(**(given | changes)))
        return made

    async def send(self, count: int = 1, epoch: int | None = None, **changes: Any) -> list[DeliverMessage]:
        made = self.messages(count, epoch, **changes)
        await self.installation.publish([self.outgoing(record) for record in made])
        return made

    async def fence(self, epoch: int) -> None:
        record = BotFence(workspace=self.workspace, conversation_id=self.conversation, bot_epoch=epoch)
        await self.installation.publish([self.outgoing(record)])

    def erasure(self) -> EraseConversation:
        """Of everything so far; it takes a seq."""
        self.seq += 1
        return EraseConversation(workspace=self.workspace, conversation_id=self.conversation, up_to_seq=self.seq)

    async def erase(self) -> None:
        """As routing says it to channels and bots."""
        record, key = self.erasure(), document_key(self.workspace, self.conversation)
        await self.installation.publish([self.outgoing(record), Outgoing(topics.BOT_REQUESTS, key, encode(record))])

    async def ask(self, epoch: int = 0, **changes: Any) -> BotRequest:
        """The customer's next message, for the bot."""
        self.seq += 1
        asked = request(self.seq, epoch, SystemClock().now(), self.conversation).record
        asked = asked.model_copy(update={"channel_id": self.channel_id, **changes})
        key = document_key(self.workspace, self.conversation)
        await self.installation.publish([Outgoing(topics.BOT_REQUESTS, key, encode(asked))])
        return asked

    def outgoing(self, record: Outbound) -> Outgoing:
        return Outgoing(topics.CHANNEL_OUTBOUND, document_key(self.workspace, self.conversation), encode(record))

    @property
    def partition(self) -> int:
        partitions = topics.TOPICS[topics.CHANNEL_OUTBOUND].partitions
        return partition_for(document_key(self.workspace, self.conversation), partitions)
