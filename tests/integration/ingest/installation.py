"""Ingest as it runs, on real engines, with as many replicas as a test likes."""

from typing import Any

from pymongo import AsyncMongoClient

from relaydesk.installation import Secrets
from services.ingest.app import build
from services.ingest.settings import IngestSettings
from shared.contracts import topics
from shared.runtime.component import Service
from shared.testing.api import Api, Channel
from tests.integration.neighbours import Neighbours
from tests.integration.replicas import Place, Replicas


class Installation(Replicas):
    topics = (topics.CHANNEL_INBOUND, topics.CHANNELS)

    def __init__(self, place: Place, secrets: Secrets, neighbours: Neighbours) -> None:
        super().__init__(place, secrets, neighbours)
        self._mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(place.engines.mongo)
        self.settings_of_keys: dict[str, str] = {}
        self.db = self._mongo[f"{place.name}_ingest"]

    async def close(self) -> None:
        await super().close()
        await self._mongo.close()

    def build(self, settings: dict[str, Any]) -> Service:
        own = {
            "id_namespace": self.secrets.id_namespace,
            "secrets_key": self.secrets.secrets_key,
            **self.settings_of_keys,
            "dispatch_url": self.neighbours.url,
            "ingest_channel_cache_s": 0.5,
            "allow_private_urls": True,
        }
        return build(IngestSettings.model_validate(settings | own))

    async def adapter(self, base: str, channel: str, secret: str) -> Channel:
        return Channel(await self._running.enter_async_context(Api(base, None)), channel, secret)
