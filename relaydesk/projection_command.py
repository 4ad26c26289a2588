"""`relaydesk projection rebuild`: the gateway's read model made anew beside the one that is kept."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pymongo.errors import PyMongoError

from relaydesk.errors import CommandError
from relaydesk.teller import Teller
from services.gateway.fold import Divergence, Hole
from services.gateway.projector import position_of
from services.gateway.rebuilding import Rebuild
from services.gateway.settings import RebuildSettings, read_model_named
from services.gateway.store.projection import ProjectionStore
from services.gateway.store.rebuild import RebuildStore
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.end_offsets import EndOffsets
from shared.runtime.faults import Fault, Transient
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.range_reader import OffsetGone, read_range
from shared.runtime.records import Partition, Record
from shared.runtime.settings import SettingsError
from shared.runtime.tasks import check_cancelled

FOLLOWED_EVERY_S = 0.5
PAUSE_AFTER_FAULT_S = 2.0


class EventLog:
    """`services.gateway.rebuilding.Log`."""

    def __init__(self, messaging: Messaging, offsets: EndOffsets, incarnation: str) -> None:
        self._messaging = messaging
        self._offsets = offsets
        self._incarnation = incarnation
        self._partitions: list[Partition] = []

    def position_of(self, partition: int) -> str:
        return position_of(partition, self._incarnation)

    async def ends(self) -> dict[int, int]:
        if not self._partitions:
            found = await self._messaging.partitions_of(WORKSPACE_EVENTS)
            self._partitions = [self._messaging.registered(at) for at in found]
        return {at[1]: end for at, end in (await self._offsets.end(self._partitions)).items()}

    async def read(self, partition: int, start: int, end: int, most: int) -> list[Record]:
        return await read_range(self._messaging, WORKSPACE_EVENTS, partition, (start, end), most)


def rebuild(name: str, follow: bool, fresh: bool) -> int:
    """Return when the new read model was as new as the log; with `follow`, keep it so until interrupted."""
    try:
        settings = RebuildSettings.load()
    except SettingsError as error:
        raise CommandError(str(error)) from error
    if name == settings.gateway_read_model:
        raise CommandError(f"`{name}` is the read model that RELAYDESK_GATEWAY_READ_MODEL names: choose another name")
    try:
        asyncio.run(_rebuild(settings, name, follow, fresh))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 0 if follow else 1
    except OffsetGone as error:
        raise CommandError(f"{error}: the archive was copied too long ago; begin anew with --fresh") from error
    except (Hole, Divergence) as error:
        raise CommandError(f"the log and the archive contradict each other: {error}") from error
    except Transient as error:
        where = "RELAYDESK_KAFKA and RELAYDESK_MONGO say where to look"
        raise CommandError(
            f"an engine does not answer ({error}): {where}; the same command goes on from here"
        ) from error
    except (Fault, LookupError, PyMongoError) as error:
        raise CommandError(str(error)) from error
    return 0


async def _rebuild(settings: RebuildSettings, name: str, follow: bool, fresh: bool) -> None:
    async with AsyncExitStack() as opened:
        work = await opened.enter_async_context(_opened(settings, name))
        await work.run(fresh)
        print(f"read model `{name}` is as new as the log; replicas show it with RELAYDESK_GATEWAY_READ_MODEL={name}")
        if follow:
            print("following the log; Ctrl-C when all replicas have the setting", flush=True)
            await _follow(work)


async def _follow(work: Rebuild) -> None:
    while True:
        check_cancelled()
        try:
            await work.catch_up()
        except Fault as error:
            print(f"trying again: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(PAUSE_AFTER_FAULT_S)
        await asyncio.sleep(FOLLOWED_EVERY_S)


@asynccontextmanager
async def _opened(settings: RebuildSettings, name: str) -> AsyncIterator[Rebuild]:
    metrics = Metrics()
    messaging = Messaging(settings, "relaydesk", "projection", metrics, on_fatal=lambda error: None)
    # with a name: what a killed one left open would hold up its next try, and a drop, for a minute
    mongo = Mongo(settings.mongo, settings.database, settings.mongo_driver, metrics, f"rebuild-{name}")
    incarnations, offsets = messaging.incarnations(), EndOffsets(messaging)
    async with AsyncExitStack() as parts:
        for component in (mongo, incarnations, offsets):
            parts.push_async_callback(component.stop)
            await component.start()
        target = mongo.beside(read_model_named(settings.database, name))
        store = RebuildStore(mongo, mongo.beside(settings.read_model), target)
        log = EventLog(messaging, offsets, incarnations.of(WORKSPACE_EVENTS))
        yield Rebuild(store, ProjectionStore(mongo, target), log, Teller("events"))
