"""The composition root of ingest: the only place that constructs clients."""

from uuid import UUID

from services.ingest.announcing import Announcing
from services.ingest.channel_rules import UrlCheck
from services.ingest.deliveries import DispatchDeliveries
from services.ingest.handlers import Doorkeeper, Intake
from services.ingest.http import channel_routes, inbound_routes
from services.ingest.keys import ChannelKeys
from services.ingest.lookup import ChannelLookup
from services.ingest.registry import ChannelNews, Registry
from services.ingest.resealing import Resealing
from services.ingest.settings import IngestSettings
from services.ingest.store import CHANNELS, ChannelStore
from shared.contracts import topics
from shared.runtime.auth import Verifier
from shared.runtime.clock import SystemClock
from shared.runtime.component import ASGIApp, Component, Service
from shared.runtime.health import Health
from shared.runtime.http import Access, api
from shared.runtime.incarnations import Incarnations
from shared.runtime.limits import CallerLimits, TokenBuckets
from shared.runtime.members import RemoteMembers
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbound_url import OutboundPolicy, UrlNotAllowed
from shared.runtime.outbox import Outbox
from shared.runtime.regularly import Regularly
from shared.runtime.secrets import SecretBox
from shared.runtime.service_client import ServiceClient
from shared.runtime.token_keys import KeySource
from shared.runtime.topic_admin import TopicGate
from shared.runtime.tracing import tracing_of

NAME = "ingest"
RESEAL_S = 60.0


def build(settings: IngestSettings) -> Service:
    metrics, health = Metrics(), Health()
    tracing = tracing_of(NAME, settings, metrics)
    messaging = Messaging(settings, NAME, settings.instance, metrics, health.fatal, tracing)
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    gate = TopicGate(messaging, (topics.CHANNEL_INBOUND, topics.CHANNELS, topics.META))
    incarnations = messaging.incarnations()
    parts = _Parts(settings, metrics, messaging, mongo, incarnations)
    health.ready_when_reachable("kafka", messaging)
    health.ready_when_reachable("mongo", mongo)
    health.alive_while("incarnations", incarnations.progress)
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        components=[tracing, gate, mongo, *parts.components],
        http=parts.http(),
        http_port=settings.ingest_http_port,
        probe_port=settings.ingest_probe_port,
    )


class _Parts:
    """What ingest is made of, put together."""

    def __init__(
        self,
        settings: IngestSettings,
        metrics: Metrics,
        messaging: Messaging,
        mongo: Mongo,
        incarnations: Incarnations,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._producer = messaging.producer()
        self._tracing = messaging.tracing
        self._clock = SystemClock()
        self._box = SecretBox(settings.secrets_key, settings.secrets_key_previous)
        self._store = ChannelStore(mongo)
        self._outbox = Outbox(mongo.db, self._producer, [CHANNELS], metrics)
        self._lookup = ChannelLookup(self._store, self._box.open, self._clock, settings.ingest_channel_cache_s)
        self._dispatch = ServiceClient(settings.dispatch_url, "dispatch")
        self._members = RemoteMembers(settings.gateway_url)
        self._token_keys = KeySource(settings)
        self._news = ChannelNews(self._lookup, self._outbox)
        resealing = Resealing(self._store, self._news, self._box, self._clock)
        announcing = Announcing(self._store, self._news, lambda: incarnations.of(topics.CHANNELS))
        changing = settings.secrets_key_previous is not None
        self.components: tuple[Component, ...] = (
            self._token_keys,
            self._members,
            self._dispatch,
            self._store,
            self._producer,
            self._outbox,
            incarnations,
            announcing,
            *([Regularly(resealing.run, RESEAL_S, "the sealing anew of secrets")] if changing else []),
        )

    def http(self) -> ASGIApp:
        limits = CallerLimits(self._settings, self._clock)
        access = Access(Verifier(self._settings, self._token_keys), self._members, limits)
        app = api(NAME, access, self._metrics, self._tracing)
        doorkeeper = self._doorkeeper()
        inbound_routes(app, doorkeeper, self._intake(doorkeeper))
        channel_routes(app, self._registry(), DispatchDeliveries(self._dispatch))
        return app

    def _doorkeeper(self) -> Doorkeeper:
        settings = self._settings
        limits = TokenBuckets(settings.ingest_channel_rate, settings.ingest_channel_burst, self._clock)
        return Doorkeeper(self._lookup, limits, self._clock)

    def _intake(self, doorkeeper: Doorkeeper) -> Intake:
        namespace = UUID(self._settings.id_namespace.get_secret_value())
        return Intake(doorkeeper, self._producer, namespace, self._clock, self._metrics)

    def _registry(self) -> Registry:
        check_url = _url_check(OutboundPolicy(self._settings.allow_private_urls))
        return Registry(self._store, self._news, ChannelKeys(self._box), check_url, self._clock)


def _url_check(policy: OutboundPolicy) -> UrlCheck:
    def fault(url: str) -> str | None:
        try:
            policy.check(url)
        except UrlNotAllowed as error:
            return str(error)
        return None

    return fault
