"""Deaths at chosen points: for the conversations named, the step never returns, and nothing after it happens."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from services.dispatch.channels.webhook import Webhook
from services.dispatch.core.delivery import Delivery
from services.dispatch.store.deliveries import MongoDeliveries
from shared.contracts.topics import CHANNEL_INBOUND
from shared.runtime.producer import Producer
from shared.runtime.records import Outgoing

POINTS = (
    "before the claim",
    "after the claim",
    "after the hand-over",
    "before the outcome",
    "after the outcome",
    "after the report",
)


class Freezer:
    """`points`: lane -> where its first message stops. `frozen`: the lanes that stand there; `kill` ends them."""

    def __init__(self, points: Mapping[str, str]) -> None:
        self._points = dict(points)
        self._killed = asyncio.Event()
        self.frozen: set[str] = set()

    def kill(self) -> None:
        self._killed.set()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        swap, deliver, publish = MongoDeliveries.swap, Webhook.deliver, Producer.publish

        async def frozen_swap(
            store: MongoDeliveries, seen: Delivery, after: Delivery, report: Outgoing | None = None
        ) -> bool:
            what = "claim" if after.state == "attempting" else "outcome"
            answer: bool = await self._around(what, seen.lane, lambda: swap(store, seen, after, report))
            return answer

        async def frozen_deliver(kind: Webhook, head: Delivery, *more: Any) -> Any:
            return await self._around("hand-over", head.lane, lambda: deliver(kind, head, *more))

        async def frozen_publish(producer: Producer, records: Sequence[Outgoing]) -> None:
            what = "report" if records and records[0].topic == CHANNEL_INBOUND else "record"
            await self._around(what, records[0].key if records else "", lambda: publish(producer, records))

        monkeypatch.setattr(MongoDeliveries, "swap", frozen_swap)
        monkeypatch.setattr(Webhook, "deliver", frozen_deliver)
        monkeypatch.setattr(Producer, "publish", frozen_publish)

    async def _around(self, what: str, lane: str, act: Callable[[], Awaitable[Any]]) -> Any:
        await self._at(f"before the {what}", lane)
        answer = await act()
        await self._at(f"after the {what}", lane)
        return answer

    async def _at(self, point: str, lane: str) -> None:
        if self._points.get(lane) == point and not self._killed.is_set():
            self.frozen.add(lane)
            await self._killed.wait()
            raise asyncio.CancelledError
