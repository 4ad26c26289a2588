"""The composition root of media: the only place that constructs clients."""

from services.media.settings import MediaSettings
from shared.runtime.component import Service
from shared.runtime.health import Health
from shared.runtime.http import api
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.s3 import MinioStore

NAME = "media"


def build(settings: MediaSettings) -> Service:
    metrics, health = Metrics(), Health()
    database = f"{settings.mongo_prefix}_{NAME}"
    mongo = Mongo(settings.mongo, database, settings.mongo_driver, metrics, settings.instance)
    objects = MinioStore(settings)
    health.ready_when_reachable("mongo", mongo)
    health.ready_when_reachable("s3", objects)
    return Service(
        name=NAME,
        settings=settings,
        health=health,
        metrics=metrics,
        components=[mongo, objects],
        http=api(NAME, None, metrics),
        http_port=settings.media_http_port,
        probe_port=settings.media_probe_port,
    )
