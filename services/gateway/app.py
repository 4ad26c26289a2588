"""The composition root of the gateway: the only place that constructs clients."""

from datetime import timedelta

from fastapi import FastAPI

from services.gateway.attaching import Attaching, MediaCopy, RemoteMedia
from services.gateway.channels import Channels
from services.gateway.commanding import Commander
from services.gateway.directory import Directory
from services.gateway.eventlog import WorkspaceLog
from services.gateway.exporting import Exporting
from services.gateway.http.commands import CommandRoutes
from services.gateway.http.console import HERE, add_console, add_documents
from services.gateway.http.contacts import ContactRoutes
from services.gateway.http.conversations import ConversationRoutes
from services.gateway.http.gateway import Gateway
from services.gateway.http.marks import MarkRoutes
from services.gateway.http.members import MemberRoutes
from services.gateway.http.stream import StreamRoutes
from services.gateway.marking import Marker
from services.gateway.outcomes import Outcomes
from services.gateway.projector import Projector, Surroundings
from services.gateway.reading import Reader
from services.gateway.retaining import EVERY_S, Retaining
from services.gateway.settings import GatewaySettings
from services.gateway.snippets import RemoteSnippets
from services.gateway.store.commands import COMMANDS, CommandStore
from services.gateway.store.inbox import InboxStore
from services.gateway.store.indexes import Indexes
from services.gateway.store.marks import MARKS, MarkStore
from services.gateway.store.members import MEMBERS, MemberStore
from services.gateway.store.projection import ProjectionStore
from services.gateway.store.search import SearchStore
from services.gateway.stream import LiveStream, StreamSettings
from services.gateway.unassigning import Unassigning
from shared.contracts import topics
from shared.runtime.auth import Verifier
from shared.runtime.clock import SystemClock
from shared.runtime.component import Component, Service
from shared.runtime.consumer import GroupConsumer, GroupOptions
from shared.runtime.health import Health
from shared.runtime.http import Access, api
from shared.runtime.limits import CallerLimits
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbox import Outbox
from shared.runtime.records import Partition
from shared.runtime.regularly import Regularly
from shared.runtime.service_client import ServiceClient
from shared.runtime.token_keys import KeySource
from shared.runtime.topic_admin import TopicGate
from shared.runtime.tracing import tracing_of

NAME = "gateway"
MEDIA = "media"
"""The collection of the copy of the topic `media`."""
TOPICS = (
    topics.WORKSPACE_EVENTS,
    topics.dead_letter_name(topics.WORKSPACE_EVENTS),
    topics.CONVERSATION_COMMANDS,
    topics.CHANNELS,
    topics.MEDIA,
    topics.dead_letter_name(topics.MEDIA),
    topics.META,
    topics.WORKSPACE_EPHEMERAL,
)


def build(settings: GatewaySettings) -> Service:
    metrics, health = Metrics(), Health()
    tracing = tracing_of(NAME, settings, metrics)
    messaging = Messaging(settings, NAME, settings.instance, metrics, health.fatal, tracing)
    mongo = Mongo(settings.mongo, settings.database, settings.mongo_driver, metrics, settings.instance)
    parts = _Parts(settings, metrics, messaging, mongo)
    _watch(health, messaging, mongo, parts)
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        drains=[parts.stream.drain],
        components=[tracing, *parts.components(TopicGate(messaging, TOPICS))],
        http=parts.http(),
        http_port=settings.gateway_http_port,
        probe_port=settings.gateway_probe_port,
    )


def _watch(health: Health, messaging: Messaging, mongo: Mongo, parts: "_Parts") -> None:
    """Ready even where the projector holds at a missing event: the stream and the commands go on."""
    health.ready_when_reachable("kafka", messaging)
    health.ready_when_reachable("mongo", mongo)
    health.ready_when("stream", parts.stream.ready)
    health.ready_when("channels", parts.channels.ready)
    health.alive_while("projector", parts.group.progress)
    health.alive_while("media", parts.media_group.progress)
    health.alive_while("stream", parts.stream.progress)
    health.alive_while("channels", parts.channels.progress)
    health.alive_while("incarnations", parts.incarnations.progress)


class _Parts:
    """What the gateway is made of, put together."""

    def __init__(self, settings: GatewaySettings, metrics: Metrics, messaging: Messaging, mongo: Mongo) -> None:
        self._settings, self._metrics, self._mongo = settings, metrics, mongo
        self._tracing = messaging.tracing
        self._model = mongo.beside(settings.read_model)
        self._clock = SystemClock()
        self._producer = messaging.producer()
        self._outbox = Outbox(mongo.db, self._producer, [COMMANDS, MARKS, MEMBERS], metrics)
        self._commands = CommandStore(mongo)
        self._outcomes = Outcomes(self._commands, self._clock)
        self._known_channels = Channels()
        self.channels = messaging.table(topics.CHANNELS, self._known_channels.changed)
        self.incarnations = messaging.incarnations()
        self.stream = LiveStream(
            messaging, self.incarnations, _stream_settings(settings), self._clock, metrics, self._producer
        )
        self.stream.on_final(self._outcomes.seen)
        self.group = self._projecting(messaging)
        self._keys = KeySource(settings)
        self._snippets = ServiceClient(settings.snippets_url, "snippets")
        self._media = ServiceClient(settings.media_url, "media")
        self._media_copy = MediaCopy(mongo.db[MEDIA])
        self.media_group = messaging.group(f"{NAME}-media", [topics.MEDIA], self._media_copy, self._producer)
        self._members = MemberStore(mongo)
        self._directory = Directory(self._members, self._outbox, self.stream.refuse_member, self._clock)
        self._inbox = InboxStore(mongo, self._model)
        self._commander = Commander(self._commands, self._outcomes, self._producer, self._clock)
        self._unassigning = Unassigning(self._members, self._inbox, self._commander, self._clock)

    def components(self, gate: TopicGate) -> list[Component]:
        indexes = Indexes(self._mongo, self._model)
        engines: list[Component] = [self._keys, gate, self._mongo, indexes, self._producer, self._outbox]
        readers: list[Component] = [self.incarnations, self.channels, self.stream, self.group, self.media_group]
        background = [self._unassigning, *self._retaining()]
        return [*engines, *readers, self._directory, self._snippets, self._media, *background]

    def http(self) -> FastAPI:
        settings = self._settings
        access = Access(Verifier(settings, self._keys), self._directory, CallerLimits(settings, self._clock))
        app = api(NAME, access, self._metrics, self._tracing)
        gateway = self._gateway()
        for kind in (ConversationRoutes, CommandRoutes, ContactRoutes, MarkRoutes, MemberRoutes, StreamRoutes):
            kind(gateway).add(app)
        add_documents(app)
        add_console(app, settings.gateway_console or HERE, settings.console_origins)
        return app

    def _retaining(self) -> list[Component]:
        days = self._settings.gateway_keep_days
        if days is None:
            return []
        retaining = Retaining(self._inbox, self._commander, self._clock, timedelta(days=days))
        return [Regularly(retaining.sweep, EVERY_S, "the look for idle conversations")]

    def _projecting(self, messaging: Messaging) -> GroupConsumer:
        async def end_offset(at: Partition) -> int:
            return await self.group.end_offset(at)

        def incarnation() -> str:
            return self.incarnations.of(topics.WORKSPACE_EVENTS)

        around = Surroundings(incarnation, end_offset, self._outcomes.decided)
        projector = Projector(ProjectionStore(self._mongo, self._model), around, self._metrics)
        options = GroupOptions(on_dead_letter=projector.dead_lettered)
        return messaging.group(self._settings.group, [topics.WORKSPACE_EVENTS], projector, self._producer, options)

    def _gateway(self) -> Gateway:
        reader = Reader(self._inbox, WorkspaceLog(self.stream, self.incarnations, self.group), self._clock)
        return Gateway(
            reader=reader,
            commander=self._commander,
            marker=Marker(MarkStore(self._mongo), self._outbox, reader, self._clock),
            directory=self._directory,
            unassigning=self._unassigning,
            inbox=self._inbox,
            search=SearchStore(self._mongo, self._model),
            members=self._members,
            commands=self._commands,
            channels=self._known_channels,
            snippets=RemoteSnippets(self._snippets),
            attaching=Attaching(self._media_copy, RemoteMedia(self._media)),
            exporting=Exporting(self._inbox, self._known_channels, self._clock),
            stream=self.stream,
        )


def _stream_settings(settings: GatewaySettings) -> StreamSettings:
    return StreamSettings(
        key=settings.cursor_keys[0],
        accepted_keys=settings.cursor_keys[1:],
        url=settings.gateway_stream_url,
        host=settings.host,
        port=settings.gateway_stream_port,
        origins=settings.stream_origins,
        max_sockets=settings.gateway_stream_max_sockets,
        heartbeat_s=settings.gateway_stream_heartbeat_s,
        ring_bytes=settings.gateway_stream_ring,
        buffer_bytes=settings.gateway_stream_buffer,
    )
