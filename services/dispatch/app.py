"""The composition root of dispatch: the only place that constructs clients."""

import random
import uuid
from collections.abc import Callable

from services.dispatch.bots.asker import Asker, BotDesk
from services.dispatch.bots.intake import RequestIntake
from services.dispatch.bots.ports import Bot
from services.dispatch.bots.webhook import WebhookBot
from services.dispatch.channel_table import ChannelTable
from services.dispatch.channels.kind import Kind
from services.dispatch.channels.webhook import Webhook
from services.dispatch.fence import Fence
from services.dispatch.handlers import LaneHandler, OutboundIntake
from services.dispatch.http import build_api
from services.dispatch.interventions import FrontDesk, Interventions, RegularLook
from services.dispatch.lanes import Lanes, Limits
from services.dispatch.outside import GatedHttp, SignedLinks
from services.dispatch.regrouping import Regrouping, Stored
from services.dispatch.runner import Runner, Work
from services.dispatch.sender import Desk, Sender
from services.dispatch.settings import DispatchSettings
from services.dispatch.store.deliveries import DELIVERIES, MongoDeliveries
from services.dispatch.store.erasures import MongoErasures
from services.dispatch.store.reports import MongoReports
from services.dispatch.store.requests import BOT_REQUESTS, MongoRequests
from shared.contracts import topics
from shared.runtime.auth import Verifier
from shared.runtime.clock import SystemClock
from shared.runtime.component import ASGIApp, Component, Service
from shared.runtime.consumer import GroupConsumer
from shared.runtime.health import Health
from shared.runtime.http import Access
from shared.runtime.limits import CallerLimits
from shared.runtime.members import RemoteMembers
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbound_http import Bounds, OutboundHttp
from shared.runtime.outbound_url import OutboundPolicy
from shared.runtime.outbox import Outbox
from shared.runtime.s3 import MinioStore
from shared.runtime.secrets import SecretBox
from shared.runtime.token_keys import KeySource
from shared.runtime.topic_admin import TopicGate
from shared.runtime.tracing import tracing_of

NAME = "dispatch"
TOPICS = (
    topics.CHANNEL_OUTBOUND,
    topics.BOT_REQUESTS,
    topics.CHANNELS,
    topics.CHANNEL_INBOUND,
    topics.CONVERSATION_COMMANDS,
)
GRACE_S = 4.0
"""For the turns of each runner at stop: the whole process has 15 s."""

Kinds = Callable[["Parts"], dict[str, Kind]]


def kinds(parts: "Parts") -> dict[str, Kind]:
    """The channel kinds of this version."""
    return {"webhook": Webhook(SignedLinks(MinioStore(parts.settings)), parts.clock)}


def build(settings: DispatchSettings, channel_kinds: Kinds = kinds) -> Service:
    health, metrics = Health(), Metrics()
    tracing = tracing_of(NAME, settings, metrics)
    messaging = Messaging(settings, NAME, settings.instance, metrics, health.fatal, tracing)
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    parts = Parts(settings, messaging, mongo, metrics, channel_kinds)
    health.ready_when_reachable("kafka", messaging)
    health.ready_when_reachable("mongo", mongo)
    for name, consumer in parts.consumers.items():
        health.ready_when(name, consumer.ready)
        health.alive_while(name, consumer.progress)
    for name, runner in parts.runners.items():
        health.alive_while(name, runner.progress)
    health.alive_while("regular look", parts.regular_look.progress)
    health.ready_when("channels", parts.table.ready)
    health.alive_while("channels", parts.table.progress)
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        components=[tracing, TopicGate(messaging, TOPICS), mongo, *parts.components],
        http=parts.http,
        http_port=settings.dispatch_http_port,
        probe_port=settings.dispatch_probe_port,
    )


class Parts:
    """What dispatch is made of, put together."""

    def __init__(
        self,
        settings: DispatchSettings,
        messaging: Messaging,
        mongo: Mongo,
        metrics: Metrics,
        channel_kinds: Kinds = kinds,
    ) -> None:
        self.settings, self.metrics, self.clock = settings, metrics, SystemClock()
        self._messaging, self._mongo = messaging, mongo
        self._producer = messaging.producer()
        self._outbox = Outbox(mongo.db, self._producer, [DELIVERIES, BOT_REQUESTS], metrics)
        self._deliveries, self._requests = MongoDeliveries(mongo), MongoRequests(mongo)
        self._erasures = MongoErasures(mongo)
        self._client = OutboundHttp(OutboundPolicy(settings.allow_private_urls))
        self.lanes, self.bot_lanes = self._lanes("delivery", settings.limits), self._lanes("bot", settings.bot_limits)
        box = SecretBox(settings.secrets_key, settings.secrets_key_previous)
        self._channels = ChannelTable(box, self._channel_changed)
        self.table = messaging.table(topics.CHANNELS, self._channels.read)
        self.consumers: dict[str, GroupConsumer] = {}
        self._reports = MongoReports(mongo, DELIVERIES, self._producer)
        front = FrontDesk(self._deliveries, self._reports, self._channels.get, self._look, self.clock)
        self.regular_look = RegularLook(front)
        self._interventions = Interventions(front, metrics)
        self._bot_runner = self._bots()
        self._runner = self._channel_deliveries(channel_kinds(self))
        self.http = self._http()
        self.components = self._in_order()

    @property
    def runners(self) -> dict[str, Runner]:
        return {"deliveries": self._runner, "bots": self._bot_runner}

    def _in_order(self) -> list[Component]:
        """Whoever takes records in starts last and stops first; whoever tells of outcomes outlasts the work."""
        stored: dict[str, Stored] = {topics.CHANNEL_OUTBOUND: self._deliveries, topics.BOT_REQUESTS: self._requests}
        engines: list[Component] = [
            self._deliveries,
            self._requests,
            self._erasures,
            Regrouping(stored, self._partitions),
            self._producer,
            self._outbox,
            self._client,
            self.table,
        ]
        work: list[Component] = [self._runner, self._bot_runner, self.regular_look, *self.consumers.values()]
        return [*engines, self._members, self._token_keys, *work]

    async def _partitions(self, topic: str) -> int:
        return len(await self._messaging.partitions_of(topic))

    def _lanes(self, kind: str, limits: Limits) -> Lanes:
        lanes = Lanes(limits)
        self.metrics.gauge("lanes", kind=kind).set_function(lambda: len(lanes))
        return lanes

    def _channel_changed(self, channel_id: str) -> None:
        self.lanes.hurry_channel(channel_id, self.clock.now())
        self._runner.wake()

    def _look(self, lane: str) -> None:
        self.lanes.look(lane, self.clock.now())
        self._runner.wake()

    def _channel_deliveries(self, kinds: dict[str, Kind]) -> Runner:
        intake = OutboundIntake(self._deliveries, self._erasures, self.clock, self.metrics)
        handler = LaneHandler(intake, self._reports, self.lanes, self._wake, self.clock)
        consumer = self._group(NAME, topics.CHANNEL_OUTBOUND, handler)
        bounds = Bounds(self.settings.dispatch_timeout_s, min(5.0, self.settings.dispatch_timeout_s))
        desk = Desk(
            store=self._deliveries,
            reports=self._reports,
            fence=Fence(consumer, self.settings.dispatch_fence_patience_s),
            kinds=kinds,
            channel=self._channels.get,
            http=lambda gate: GatedHttp(self._client, bounds, gate),
            clock=self.clock,
            jitter=random.random,
            tracing=self._messaging.tracing,
        )
        owner = f"{self.settings.instance}-{uuid.uuid4().hex}"
        return self._run(self.lanes, Sender(desk, owner, self.settings.timing, self.metrics))

    def _bots(self) -> Runner:
        intake = RequestIntake(self._requests, self._erasures, self.clock, self.metrics)
        reports = MongoReports(self._mongo, BOT_REQUESTS, self._producer)
        handler = LaneHandler(intake, reports, self.bot_lanes, self._wake_bots, self.clock)
        self._group(f"{NAME}-bots", topics.BOT_REQUESTS, handler)
        bots: dict[str, Bot] = {"webhook": WebhookBot(self._client, self.clock)}
        desk = BotDesk(
            store=self._requests,
            reports=reports,
            fences=self._deliveries,
            kinds=bots,
            channel=self._channels.get,
            clock=self.clock,
            tracing=self._messaging.tracing,
        )
        return self._run(self.bot_lanes, Asker(desk, self.settings.dispatch_bot_deadline_s, self.metrics))

    def _wake(self) -> None:
        self._runner.wake()

    def _wake_bots(self) -> None:
        self._bot_runner.wake()

    def _run(self, lanes: Lanes, work: Work) -> Runner:
        return Runner(lanes, work, self.clock, GRACE_S)

    def _group(self, group: str, topic: str, handler: LaneHandler) -> GroupConsumer:
        consumer = self._messaging.group(group, [topic], handler, self._producer)
        self.consumers[group] = consumer
        return consumer

    def _http(self) -> ASGIApp:
        self._token_keys = KeySource(self.settings)
        self._members = RemoteMembers(self.settings.gateway_url)
        limits = CallerLimits(self.settings, self.clock)
        access = Access(Verifier(self.settings, self._token_keys), self._members, limits)
        return build_api(self._deliveries, self._interventions, access, self.metrics, self._messaging.tracing)
