"""The gateway as it runs, beside a real routing, on real engines, with as many replicas as a test likes."""

import base64
import secrets as randomness
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relaydesk.installation import Secrets
from relaydesk.tokens import Person, mint
from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from services.routing.app import build as build_routing
from services.routing.settings import RoutingSettings
from shared.contracts import ids, topics
from shared.contracts.inbound import MessageReceived, Sender
from shared.contracts.times import to_timestamp
from shared.contracts.wire import encode
from shared.engines.addresses import Addresses
from shared.runtime.component import Service
from shared.runtime.health import Health
from shared.runtime.listening import Listener
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.records import Outgoing, Record
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import apply
from shared.testing.api import Api
from shared.testing.eventually import eventually

NAMESPACE = uuid.uuid5(uuid.UUID(int=0), "tests")
CHANNEL = "c0ffee00-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    name: str
    folder: Path


@dataclass
class Running:
    """A service with its parts started; `stop` ends it in order."""

    service: Service
    base: str = ""
    parts: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        for component in self.service.components:
            self.parts.push_async_callback(component.stop)
            await component.start()
        if self.service.http is not None:
            listener = Listener(self.service.http, "127.0.0.1", 0)
            self.parts.push_async_callback(listener.close, 1.0)
            self.base = f"http://127.0.0.1:{await listener.open()}"

    async def stop(self) -> None:
        await self.parts.aclose()


class Installation:
    """`gateway()` starts one more replica. Tests keep apart by workspace."""

    def __init__(self, place: Place, secrets: Secrets, neighbours_url: str) -> None:
        self.place = place
        self._secrets = secrets
        self._neighbours_url = neighbours_url
        self._cursor_key = base64.b64encode(randomness.token_bytes(32)).decode()
        self._replicas = 0
        self._open = AsyncExitStack()
        settings = KafkaSettings(kafka=place.engines.kafka, topic_prefix=f"{place.name}.")
        self.messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)
        self.producer = self.messaging.producer()
        self.mongo = Mongo(place.engines.mongo, f"{place.name}_gateway", "pymongo", Metrics())
        self.db = self.mongo.db
        self.routing: Running | None = None

    async def start(self) -> None:
        await apply(self.messaging)
        await self.producer.start()
        self._open.push_async_callback(self.mongo.stop)
        self._open.push_async_callback(self.producer.stop)

    async def close(self) -> None:
        if self.routing is not None:
            await self.routing.stop()
        await self._open.aclose()

    async def start_routing(self) -> None:
        settings = RoutingSettings.model_validate(self._common() | {"instance": "1"})
        self.routing = Running(build_routing(settings))
        await self.routing.start()

    def environment(self) -> dict[str, str]:
        """What a command has to know of it."""
        return {f"RELAYDESK_{name.upper()}": str(value) for name, value in self._common().items()}

    async def stop_routing(self) -> None:
        assert self.routing is not None
        await self.routing.stop()
        self.routing = None

    async def gateway(self, read_model: str = "", **changes: object) -> Running:
        """Stopped with the installation, if not before."""
        self._replicas += 1
        extra = {
            "instance": str(self._replicas),
            "jwt_keys": self._secrets.jwt_public,
            "gateway_cursor_key": self._cursor_key,
            "gateway_stream_port": 0,
            "gateway_read_model": read_model,
            "gateway_console": self.place.folder / "console",
            "snippets_url": self._neighbours_url,
            "media_url": self._neighbours_url,
        }
        running = Running(build_gateway(GatewaySettings.model_validate(self._common() | extra | changes)))
        self._open.push_async_callback(running.stop)
        await running.start()
        return running

    def token(self, person: Person, lifetime_s: int = 3600) -> str:
        return mint(self._secrets.jwt_private, person, lifetime_s)

    async def member(self, base: str, member: str, workspace: str, role: str = "agent") -> Api:
        """Closed with the installation."""
        return await self._open.enter_async_context(
            Api(base, self.token(Person(member, member.title(), role, workspace)))
        )

    async def says(
        self, workspace: str, contact: str, *texts: str, channel: str = CHANNEL, bot: str | None = None
    ) -> str:
        """A customer writes; -> the conversation."""
        contact_id = ids.contact_id(NAMESPACE, workspace, channel, contact)
        conversation = ids.conversation_id(contact_id)
        now = to_timestamp(datetime.now(UTC))
        records = []
        for text in texts:
            external = uuid.uuid4().hex
            record = MessageReceived(
                id=ids.inbound_id(conversation, "message", external),
                workspace=workspace,
                channel_id=channel,
                channel_kind="webhook",
                bot_kind=bot,
                conversation_id=conversation,
                accepted_at=now,
                contact_id=contact_id,
                sender=Sender(id=contact, first_name="Ada", last_name="Lovelace"),
                external_id=external,
                occurred_at=now,
                text=text,
            )
            key = ids.document_key(workspace, conversation)
            headers = (("type", b"MessageReceived"),)
            records.append(Outgoing(topics.CHANNEL_INBOUND, key, encode(record), headers))
        await self.producer.publish(records)
        return conversation

    async def read(self, topic: str) -> list[Record]:
        """All there is in a topic."""
        found: list[Record] = []
        tail = self.messaging.tail(topic, found.extend)
        await tail.start()
        await tail.wait_caught_up()
        await tail.stop()
        return found

    async def events(self, workspace: str, kind: str | None = None) -> list[Record]:
        """What the log has of a workspace; `kind` such as `message.sent`."""
        wanted = f"relaydesk.{kind}.v1".encode() if kind else None
        found = [record for record in await self.read(topics.WORKSPACE_EVENTS) if record.key == workspace.encode()]
        return [record for record in found if wanted is None or record.headers["type"] == wanted]

    def _common(self) -> dict[str, Any]:
        place = self.place
        return {
            "kafka": place.engines.kafka,
            "mongo": place.engines.mongo,
            "topic_prefix": f"{place.name}.",
            "mongo_prefix": place.name,
        }


async def known(api: Api, conversation: str, seq: int) -> dict[str, Any]:
    """The conversation as soon as the read model has it up to `seq`."""

    async def probe() -> dict[str, Any] | None:
        answer = await api.call("GET", f"/v1/conversations/{conversation}")
        return answer.body if answer.status == 200 and answer.body["seq"] >= seq else None

    return await eventually(probe, f"conversation {conversation} at {seq}")
