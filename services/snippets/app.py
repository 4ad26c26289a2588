"""The composition root of snippets: the only place that constructs clients."""

from services.snippets.settings import SnippetsSettings
from shared.runtime.component import Service
from shared.runtime.health import Health
from shared.runtime.http import api
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo

NAME = "snippets"


def build(settings: SnippetsSettings) -> Service:
    metrics, health = Metrics(), Health()
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    health.ready_when_reachable("mongo", mongo)
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        components=[mongo],
        http=api(NAME, None, metrics),
        http_port=settings.snippets_http_port,
        probe_port=settings.snippets_probe_port,
    )
