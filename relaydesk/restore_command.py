"""`relaydesk restore`: a MongoDB that was put back to an earlier moment, brought forward from Kafka's topics."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from pymongo.errors import PyMongoError

from relaydesk.errors import CommandError
from relaydesk.teller import Teller
from services.dispatch import restoring as dispatch
from services.dispatch.core.bot import Request
from services.dispatch.core.delivery import Ending
from services.dispatch.store.deliveries import MongoDeliveries
from services.dispatch.store.erasures import MongoErasures
from services.dispatch.store.requests import MongoRequests
from services.gateway.projector import position_of
from services.gateway.settings import RebuildSettings
from services.gateway.store.projection import ProjectionStore
from services.ingest import restoring as ingest
from services.ingest.store import ChannelStore
from services.routing import memory
from services.routing import restoring as routing
from services.routing.documents import Document, source_name
from services.routing.replaying import Contradiction, Hole
from services.routing.store import Store
from shared.contracts.ids import document_key
from shared.contracts.inbound import DeliveryReported
from shared.contracts.outbound import DeliverMessage
from shared.contracts.topics import CHANNEL_OUTBOUND, CONTACTS, MEDIA, MEDIA_JOBS, ROUTING_INPUTS, WORKSPACE_EVENTS
from shared.runtime import group_offsets
from shared.runtime.clock import SystemClock
from shared.runtime.component import Component
from shared.runtime.end_offsets import EndOffsets
from shared.runtime.faults import Fault
from shared.runtime.group_loop import GroupOptions
from shared.runtime.incarnations import Incarnations
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.range_reader import OffsetGone
from shared.runtime.records import Partition
from shared.runtime.settings import SettingsError
from shared.runtime.spool import Spool
from shared.runtime.topic_log import TopicLog

AGAIN = "the same command goes on from here"
SESSION_S = 60.0
LOOK_EVERY_S = 1.0
READ_AGAIN = {"gateway-media": MEDIA, "snippets": CONTACTS, "media": MEDIA_JOBS}
"""Groups that begin anew, and the topic that they read: what they have, they recognize."""

_ENDINGS: Mapping[str, Ending] = {"failed": "failed", "unknown": "unknown"}


def restore(since: datetime | None) -> int:
    """Return when all is as the topics say; 1 where something of it needs a person."""
    try:
        settings = RebuildSettings.load()
        return asyncio.run(_restore(settings, since))
    except KeyboardInterrupt:
        print(f"stopped; {AGAIN}", file=sys.stderr)
        return 1
    except Hole as error:
        advice = (
            "the backup is older than the log reaches back (or --since is later than the backup): restore a newer one"
        )
        raise CommandError(f"{error}; {advice}") from error
    except Contradiction as error:
        raise CommandError(f"{error}: was routing started on the restored database? Restore it anew") from error
    except OffsetGone as error:
        raise CommandError(f"{error}: Kafka has deleted records meanwhile; {AGAIN}") from error
    except (SettingsError, Fault, LookupError, PyMongoError) as error:
        raise CommandError(f"{error}; {AGAIN}") from error


@dataclass(frozen=True, slots=True)
class Engines:
    """Kafka and the databases, open."""

    settings: RebuildSettings
    messaging: Messaging
    incarnations: Incarnations
    topics: TopicLog
    routing: Store
    deliveries: MongoDeliveries
    requests: MongoRequests
    erasures: MongoErasures
    channels: ChannelStore
    model: ProjectionStore

    def source(self, topic: str, partition: int) -> str:
        return source_name(topic, self.incarnations.of(topic), partition)


async def _restore(settings: RebuildSettings, since: datetime | None) -> int:
    now = SystemClock().now()
    async with _opened(settings, since) as engines:
        await _require_nobody(engines)
        read_model = await _read_model_offsets(engines)
        channels = await ingest.newest(engines.topics)
        count = await ingest.restore(engines.channels, channels.values(), now)
        print(f"channels: {count} brought forward")
        decided = await _conversations(engines, {ident: row.kind for ident, row in channels.items()})
        await _deliveries(engines, Facts(engines.routing, decided.reported), now)
        await _place_groups(engines, read_model)
    print("all groups are placed: start the services")
    for line in decided.unexplained:
        print(f"look at {line}", file=sys.stderr)
    return 1 if decided.unexplained else 0


async def _require_nobody(engines: Engines) -> None:
    """CommandError where a service runs. One that was killed counts until its session is over: that is waited for."""
    groups = ("routing", engines.settings.group, "dispatch", "dispatch-bots", *READ_AGAIN)
    until = time.monotonic() + SESSION_S
    told = False
    while found := await group_offsets.members(engines.messaging, groups):
        named = ", ".join(f"{group} ({count})" for group, count in found.items())
        if time.monotonic() > until:
            raise CommandError(f"services are running, these groups have members: {named}; stop all services first")
        if not told:
            print(f"waiting until nobody is left in the groups {named}; {SESSION_S:.0f} s at most", flush=True)
        told = True
        await asyncio.sleep(LOOK_EVERY_S)


async def _read_model_offsets(engines: Engines) -> dict[Partition, int]:
    """Where the group of the read model goes on: where the restored one is. CommandError where it can't."""
    spans = await engines.topics.spans_of_all(WORKSPACE_EVENTS)
    incarnation = engines.incarnations.of(WORKSPACE_EVENTS)
    stored = await engines.model.places()
    if stored and not any(place.split("/")[1] == incarnation for place in stored):
        raise CommandError(
            f"the topic {WORKSPACE_EVENTS} was made anew since the backup: what happened between is in no log; "
            "see `Backup and restore` in docs/operations.md"
        )
    offsets = {}
    for at, (first, end) in spans.items():
        position = stored.get(position_of(at[1], incarnation), first)
        if not first <= position <= end:
            raise CommandError(
                f"the read model of the backup ends with offset {position} of {at[0]}/{at[1]}, the topic has {first} "
                f"to {end}: restore a newer backup, or the topic"
            )
        offsets[at] = position
    return offsets


async def _conversations(engines: Engines, kinds: Mapping[str, str]) -> routing.Summary:
    committed: dict[str, int] = {}
    for topic in ROUTING_INPUTS:
        places = await group_offsets.committed(engines.messaging, "routing", await engines.topics.spans_of_all(topic))
        committed |= {engines.source(*at): offset for at, offset in places.items()}
    around = routing.Surroundings(engines.source, committed, kinds, Teller("records"))
    with Spool() as spool:
        found = await routing.Restore(engines.routing, engines.topics, around, spool).run()
    print(
        f"conversations: {found.conversations} brought forward by {found.events} events; {found.left} inputs are left"
    )
    if found.unmatched:
        print(f"{found.unmatched} events don't follow from their inputs: what channels said besides may be forgotten")
    return found


async def _deliveries(engines: Engines, facts: "Facts", now: datetime) -> None:
    spans = await engines.topics.spans_of_all(CHANNEL_OUTBOUND)
    committed = await group_offsets.committed(engines.messaging, "dispatch", spans)
    batch = GroupOptions().max_records
    unread = {at[1]: committed.get(at, first) + batch for at, (first, _) in spans.items()}
    stores = dispatch.Stores(engines.deliveries, engines.requests, engines.erasures)
    work = dispatch.Restore(stores, facts, now)
    found = await work.run(engines.topics, unread)
    print(
        f"deliveries: {found.ended} have ended, {found.interrupted} count as interrupted; "
        f"questions to bots without an answer: {found.unanswered}"
    )


async def _place_groups(engines: Engines, read_model: Mapping[Partition, int]) -> None:
    await group_offsets.commit(engines.messaging, engines.settings.group, read_model)
    for group, topic in READ_AGAIN.items():
        starts = {at: start for at, (start, _) in (await engines.topics.spans(topic)).items()}
        await group_offsets.commit(engines.messaging, group, starts)


@dataclass(frozen=True, slots=True)
class Facts:
    """`services.dispatch.restoring.Facts`, of routing's documents and of reports that it has yet to decide."""

    states: Store
    reported: Mapping[str, DeliveryReported]

    async def fates(self, messages: Sequence[DeliverMessage]) -> dict[str, dispatch.Fate]:
        documents = await self.states.documents(list({_key(message) for message in messages}))
        found = {one.message_id: self._fate(documents.get(_key(one)), one) for one in messages}
        return {ident: fate for ident, fate in found.items() if fate is not None}

    async def answered(self, requests: Sequence[Request]) -> set[str]:
        names = {memory.command(one.lane, one.answer_id): one.ident for one in requests}
        return {names[name] for name in await self.states.remembered(list(names))}

    def _fate(self, document: Document | None, message: DeliverMessage) -> dispatch.Fate | None:
        report = self.reported.get(message.message_id)
        if report is not None:
            return dispatch.Fate(report.status, report.attempt, report.provider_message_id)
        state = document.state if document else None
        status = next((one.status for one in state.sent if one.seq == message.seq), "queued") if state else "queued"
        if state is None or status == "queued":
            return None
        known = next((one for one in state.book.deliveries if one.seq == message.seq), None)
        attempt, provider_id = (known.attempt, known.provider_id) if known else (1, None)
        return dispatch.Fate(_ENDINGS.get(status, "sent"), attempt, provider_id)


def _key(message: DeliverMessage) -> str:
    return document_key(message.workspace, message.conversation_id)


@asynccontextmanager
async def _opened(settings: RebuildSettings, since: datetime | None) -> AsyncIterator[Engines]:
    metrics = Metrics()
    messaging = Messaging(settings, "relaydesk", "restore", metrics, on_fatal=lambda error: None)
    mongos = {
        name: Mongo(settings.mongo, f"{settings.mongo_prefix}_{name}", settings.mongo_driver, metrics, "restore")
        for name in ("routing", "dispatch", "ingest", "gateway")
    }
    incarnations, offsets = messaging.incarnations(), EndOffsets(messaging)
    states, deliveries = Store(mongos["routing"]), MongoDeliveries(mongos["dispatch"])
    requests, erasures = MongoRequests(mongos["dispatch"]), MongoErasures(mongos["dispatch"])
    channels = ChannelStore(mongos["ingest"])
    model = ProjectionStore(mongos["gateway"], mongos["gateway"].beside(settings.read_model))
    topics = TopicLog(messaging, offsets, Teller("records"), since)
    async with AsyncExitStack() as parts:
        stores: list[Component] = [states, deliveries, requests, erasures, channels]
        components: list[Component] = [*mongos.values(), incarnations, offsets, *stores]
        for component in components:
            parts.push_async_callback(component.stop)
            await component.start()
        yield Engines(
            settings, messaging, incarnations, topics, states, deliveries, requests, erasures, channels, model
        )
