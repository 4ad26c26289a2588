"""`bot.requests`: into the lanes of bots."""

from collections.abc import Iterable, Sequence

from services.dispatch.bots.ports import RequestStore
from services.dispatch.core.bot import Request
from services.dispatch.handlers import Filled, Taken, read
from services.dispatch.ports import LaneStart
from shared.contracts.wire import decode_bot_request
from shared.runtime.clock import Clock
from shared.runtime.records import Record


class RequestIntake:
    def __init__(self, store: RequestStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        return await self._store.load(partitions)

    async def add(self, records: Sequence[Record]) -> Sequence[Taken]:
        requests = [(record, _request(record)) for record in records]
        now = self._clock.now()
        await self._store.add([(request, now) for _, request in requests])
        return [
            Filled(request.lane, (record.topic, record.partition), request.record.channel_id)
            for record, request in requests
        ]


def _request(record: Record) -> Request:
    return Request(read(record, decode_bot_request), record.partition, record.trace)
