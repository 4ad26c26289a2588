"""The composition root of media: the only place that constructs clients."""

from services.media.checking import Checking, Uploads
from services.media.erasing import Erasing
from services.media.fetching import Fetches
from services.media.handlers import MediaJobs
from services.media.http import MediaRoutes
from services.media.keeping import Keeper
from services.media.sandbox import Sandbox
from services.media.settings import MediaSettings
from services.media.store import MEDIA_DOCUMENTS, MediaStore
from services.media.sweeping import Sweeper
from services.media.uploading import Uploading
from services.media.working import Crew, Worker
from shared.contracts import topics
from shared.runtime.auth import Verifier
from shared.runtime.clock import SystemClock
from shared.runtime.component import Component, Service
from shared.runtime.health import Health
from shared.runtime.http import Access, api
from shared.runtime.limits import CallerLimits
from shared.runtime.members import RemoteMembers
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbound_download import Downloads
from shared.runtime.outbound_url import OutboundPolicy
from shared.runtime.outbox import Outbox
from shared.runtime.s3 import MinioStore
from shared.runtime.service_client import ServiceClient
from shared.runtime.token_keys import KeySource
from shared.runtime.topic_admin import TopicGate
from shared.runtime.tracing import tracing_of

NAME = "media"
TOPICS = (
    topics.MEDIA_JOBS,
    topics.dead_letter_name(topics.MEDIA_JOBS),
    topics.MEDIA,
    topics.WORKSPACE_EVENTS,
)


def build(settings: MediaSettings) -> Service:
    metrics, health, clock = Metrics(), Health(), SystemClock()
    tracing = tracing_of(NAME, settings, metrics)
    messaging = Messaging(settings, NAME, settings.instance, metrics, health.fatal, tracing)
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    objects, producer = MinioStore(settings), messaging.producer()
    keys, members = KeySource(settings), RemoteMembers(settings.gateway_url)
    outbox = Outbox(mongo.db, producer, [MEDIA_DOCUMENTS], metrics)
    store = MediaStore(mongo, outbox, settings.media_quota)
    keeper = Keeper(mongo, objects, store)
    erasing = Erasing(mongo, store, keeper, clock)
    checking = Checking(keeper, Sandbox({"LANG": "C.UTF-8"}, at_once=settings.workers), clock)
    uploads = Worker("uploads", store, Uploads(objects, checking), clock, metrics, _crew(settings, settings.workers))
    downloads = Downloads(OutboundPolicy(settings.allow_private_urls))
    fetching = Fetches(downloads, checking, clock, max(1, settings.workers // 2))
    fetches = Worker("fetches", store, fetching, clock, metrics, _crew(settings, settings.media_fetchers))
    sweeper = Sweeper(store, objects, keeper, erasing, clock, metrics)
    handler = MediaJobs(store, uploads, fetches, erasing, clock)
    jobs = messaging.group(NAME, [topics.MEDIA_JOBS], handler, producer)
    app = api(NAME, Access(Verifier(settings, keys), members, CallerLimits(settings, clock)), metrics, tracing)
    gateway = ServiceClient(settings.gateway_url, "gateway")
    MediaRoutes(store, Uploading(store, objects, clock, gateway, erasing), objects, clock).add(app)
    health.ready_when_reachable("kafka", messaging)
    health.ready_when_reachable("mongo", mongo)
    health.ready_when_reachable("s3", objects)
    health.alive_while("jobs", jobs.progress)
    health.alive_while("uploads", uploads.progress)
    health.alive_while("fetches", fetches.progress)
    health.alive_while("sweeper", sweeper.progress)
    engines: list[Component] = [
        tracing,
        keys,
        members,
        gateway,
        TopicGate(messaging, TOPICS),
        mongo,
        objects,
        store,
        keeper,
        erasing,
        producer,
        outbox,
    ]
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        components=[*engines, downloads, uploads, fetches, sweeper, jobs],
        http=app,
        http_port=settings.media_http_port,
        probe_port=settings.media_probe_port,
    )


def _crew(settings: MediaSettings, at_once: int) -> Crew:
    """A workspace whose channels keep us waiting leaves half of it to the others."""
    return Crew(settings.instance, at_once, max(settings.workers, at_once // 2))
