"""When records arrive while a batch is under way, on a real broker."""

import asyncio
import time
from statistics import median

from shared.runtime.batches import Batch
from shared.runtime.records import Outgoing
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import INBOUND, QUICK, BrokerWorld, Recorder

BATCH_S = 0.3
"""Longer than the client lets fetched records wait before it fetches the other partitions without theirs."""


async def test_a_slow_batch_delays_no_record_that_comes_after_it(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    arrivals: dict[bytes, float] = {}
    entered = asyncio.Event()

    async def handle(batch: Batch) -> None:
        arrivals.update((record.value or b"", time.monotonic()) for record in batch.records)
        if any((record.value or b"").startswith(b"slow") for record in batch.records):
            entered.set()
            await asyncio.sleep(BATCH_S)  # what is tested: how long a batch takes

    await running.start(kafka.member("1").group("routing", [INBOUND], Recorder(handle), producer, QUICK))
    delays: list[float] = []
    for number in range(5):
        entered.clear()
        slow, meanwhile, after = (f"{name}{number}".encode() for name in ("slow", "meanwhile", "after"))
        await producer.publish([Outgoing(INBOUND, "w:c", slow)])
        await asyncio.wait_for(entered.wait(), 60)
        await producer.publish([Outgoing(INBOUND, "w:c", meanwhile)])
        await eventually(lambda: meanwhile in arrivals, "what came during the batch", every=0.005)  # noqa: B023
        sent = time.monotonic()
        await producer.publish([Outgoing(INBOUND, "w:c", after)])
        await eventually(lambda: after in arrivals, "what came after it", every=0.005)  # noqa: B023
        delays.append(arrivals[after] - sent)

    assert median(delays) < 0.2, f"{delays}: a fetch waits for 0.5 s"
