"""Wiring of routing: the only place that constructs its clients."""

from services.routing.handlers import Ports, Routing
from services.routing.meter import Meter
from services.routing.settings import RoutingSettings
from services.routing.store import Store
from shared.contracts.topics import (
    BOT_REQUESTS,
    CHANNEL_OUTBOUND,
    CONTACTS,
    MEDIA_JOBS,
    META,
    ROUTING_INPUTS,
    WORKSPACE_EVENTS,
    dead_letter_name,
)
from shared.runtime.clock import SystemClock
from shared.runtime.component import Service
from shared.runtime.group_loop import GroupOptions
from shared.runtime.health import Health
from shared.runtime.http import api
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.topic_admin import TopicGate
from shared.runtime.tracing import tracing_of

NAME = "routing"
OUTPUTS = (WORKSPACE_EVENTS, CHANNEL_OUTBOUND, BOT_REQUESTS, MEDIA_JOBS, CONTACTS)
TOPICS_USED = (*ROUTING_INPUTS, *OUTPUTS, META, *(dead_letter_name(topic) for topic in ROUTING_INPUTS))


def build(settings: RoutingSettings) -> Service:
    health, metrics = Health(), Metrics()
    tracing = tracing_of(NAME, settings, metrics)
    messaging = Messaging(settings, NAME, settings.instance, metrics, health.fatal, tracing)
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    store, producer, incarnations = Store(mongo), messaging.producer(), messaging.incarnations()
    ports = Ports(store, producer, incarnations, SystemClock(), Meter(metrics))
    routing = Routing(ports, settings.routing_cached_conversations)
    options = GroupOptions(max_records=settings.routing_batch, on_dead_letter=routing.dead_lettered)
    group = messaging.group(NAME, ROUTING_INPUTS, routing, producer, options)
    health.ready_when_reachable("mongo", mongo)
    health.ready_when_reachable("kafka", messaging)
    health.ready_when("group", group.ready)
    health.ready_when("incarnations", incarnations.ready)
    health.alive_while("group", group.progress)
    health.alive_while("incarnations", incarnations.progress)
    return Service(
        NAME,
        settings,
        health,
        metrics,
        [tracing, TopicGate(messaging, TOPICS_USED), mongo, store, producer, incarnations, group],
        http=api(NAME, None, metrics, tracing),
        http_port=settings.routing_http_port,
        probe_port=settings.routing_probe_port,
    )
