"""The composition root of snippets: the only place that constructs clients."""

from services.snippets.contacts import ContactCopy
from services.snippets.files import FileRoutes
from services.snippets.http import SnippetRoutes
from services.snippets.importing import Importer
from services.snippets.search import Shelves
from services.snippets.settings import SnippetsSettings
from services.snippets.store import SNIPPETS, SnippetStore
from shared.contracts import topics
from shared.runtime.auth import Verifier
from shared.runtime.clock import SystemClock
from shared.runtime.component import Service
from shared.runtime.health import Health
from shared.runtime.http import Access, api
from shared.runtime.limits import CallerLimits
from shared.runtime.members import RemoteMembers
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbox import Outbox
from shared.runtime.token_keys import KeySource
from shared.runtime.topic_admin import TopicGate
from shared.runtime.tracing import tracing_of

NAME = "snippets"
TOPICS = (topics.CONTACTS, topics.dead_letter_name(topics.CONTACTS), topics.WORKSPACE_EVENTS)


def build(settings: SnippetsSettings) -> Service:
    metrics, health, clock = Metrics(), Health(), SystemClock()
    tracing = tracing_of(NAME, settings, metrics)
    messaging = Messaging(settings, NAME, settings.instance, metrics, health.fatal, tracing)
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    producer, keys, members = messaging.producer(), KeySource(settings), RemoteMembers(settings.gateway_url)
    outbox = Outbox(mongo.db, producer, [SNIPPETS], metrics)
    store, contacts = SnippetStore(mongo, outbox), ContactCopy(mongo)
    copying = messaging.group(NAME, [topics.CONTACTS], contacts, producer)
    app = api(NAME, Access(Verifier(settings, keys), members, CallerLimits(settings, clock)), metrics, tracing)
    FileRoutes(store, Importer(store), clock).add(app)  # before the paths that end in an id
    SnippetRoutes(store, Shelves(store.revision, store.contents), contacts, clock, metrics).add(app)
    health.ready_when_reachable("kafka", messaging)
    health.ready_when_reachable("mongo", mongo)
    health.alive_while("contacts", copying.progress)
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        components=[tracing, keys, members, TopicGate(messaging, TOPICS), mongo, store, producer, outbox, copying],
        http=app,
        http_port=settings.snippets_http_port,
        probe_port=settings.snippets_probe_port,
    )
