"""`bot.requests`: into the lanes of bots."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from services.dispatch.bots.ports import RequestStore
from services.dispatch.core.bot import ERASED, Request
from services.dispatch.handlers import Erased, Filled, Taken, erasures_of, read
from services.dispatch.ports import Erasures, LaneStart
from shared.contracts.ids import document_key
from shared.contracts.outbound import BotRequest, BotWork
from shared.contracts.wire import decode_bot_work
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.runtime.records import Record


class RequestIntake:
    def __init__(self, store: RequestStore, erasures: Erasures, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._erasures = erasures
        self._clock = clock
        self._metrics = metrics

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        return await self._store.load(partitions)

    async def add(self, records: Sequence[Record]) -> Sequence[Taken]:
        decoded = [(record, read(record, decode_bot_work)) for record in records]
        came = [
            Request(item, record.partition, record.trace) for record, item in decoded if isinstance(item, BotRequest)
        ]
        await self._keep(came, erasures_of(item for _, item in decoded))
        return [_taken(record, item) for record, item in decoded]

    async def _keep(self, came: Sequence[Request], erasures: Mapping[str, int]) -> None:
        """As deliveries are kept."""
        now = self._clock.now()
        known = await self._erasures.raised(erasures, {one.lane for one in came})
        requests = [replace(one, erased=one.record.message.seq <= known.get(one.lane, 0)) for one in came]
        new = await self._store.add([(one, now) for one in requests])
        ended = len({one.ident for one in requests if one.erased}.intersection(new))
        for lane, up_to_seq in erasures.items():
            ended += await self._store.erase(lane, up_to_seq, now)
        if ended:
            self._metrics.counter("bot_requests_ended", outcome=ERASED).inc(ended)


def _taken(record: Record, item: BotWork) -> Taken:
    lane = document_key(item.workspace, item.conversation_id)
    if isinstance(item, BotRequest):
        return Filled(lane, (record.topic, record.partition), item.channel_id)
    return Erased(lane, item.up_to_seq)
