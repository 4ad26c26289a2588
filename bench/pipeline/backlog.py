"""Routing alone over a backlog: it and the gateway are stopped, ingest takes messages, then routing goes on alone."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.pipeline import cpu, load
from bench.pipeline.load import Sent, Target
from shared.contracts.topics import CHANNEL_INBOUND, WORKSPACE_EVENTS

WITHIN_S = 60.0
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Rate:
    """What working off `records` took."""

    records: int
    wall_s: float
    cpu_s: float

    @property
    def per_second(self) -> float:
        return self.records / self.wall_s

    @property
    def per_cpu_second(self) -> float:
        return self.records / self.cpu_s


@dataclass(frozen=True, slots=True)
class Backlog:
    """The records that routing worked off, as (key, value), how fast it was, and the load that made them."""

    records: Sequence[tuple[bytes, bytes]]
    routing: Rate
    sent: Sent


async def worked_off(info: Mapping[str, Any], work: Sequence[load.Request], target: Target) -> Backlog:
    """Raises TimeoutError when routing doesn't get through within a minute."""
    routing, gateway = (int(info["services"][name]["pid"]) for name in ("routing", "gateway"))
    async with _reader(info["engines"]["kafka"]) as reader:
        first, events = await _ends(reader, CHANNEL_INBOUND), sum((await _ends(reader, WORKSPACE_EVENTS)).values())
        _signal((routing, gateway), signal.SIGSTOP)
        try:
            sent = await load.closed_loop(target, list(work), 8, WITHIN_S)
            last, goal = await _ends(reader, CHANNEL_INBOUND), events + len(sent.accepted)
            before, begun = cpu.spent({"routing": [routing]}), time.monotonic()
            _signal((routing,), signal.SIGCONT)
            async with asyncio.timeout(WITHIN_S):
                while sum((await _ends(reader, WORKSPACE_EVENTS)).values()) < goal:  # noqa: ASYNC110 - a broker's
                    await asyncio.sleep(LOOK_EVERY_S)
            spent = cpu.between(before, cpu.spent({"routing": [routing]}))["routing"]
            rate = Rate(len(sent.accepted), time.monotonic() - begun, spent)
        finally:
            _signal((routing, gateway), signal.SIGCONT)
        return Backlog(await _records(reader, first, last), rate, sent)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


@asynccontextmanager
async def _reader(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    reader = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


async def _ends(reader: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    await reader._client.force_metadata_update()
    partitions = [TopicPartition(topic, number) for number in range(12)]
    ends: dict[TopicPartition, int] = await reader.end_offsets(partitions)
    return ends


async def _records(
    reader: AIOKafkaConsumer, first: Mapping[TopicPartition, int], last: Mapping[TopicPartition, int]
) -> list[tuple[bytes, bytes]]:
    """In the order of each partition."""
    reader.assign([at for at in first if last[at] > first[at]])
    for at in reader.assignment():
        reader.seek(at, first[at])
    found: list[tuple[bytes, bytes]] = []
    wanted = sum(last[at] - first[at] for at in reader.assignment())
    while len(found) < wanted:
        polled = await reader.getmany(timeout_ms=500)
        found += [(raw.key, raw.value) for raws in polled.values() for raw in raws]
    return found
