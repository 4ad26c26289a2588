"""What tracing costs where nothing is sampled, without engines: `python -m bench.tracing.floor` (seconds)."""

import asyncio
import time
from collections.abc import Callable

from bench.pipeline.phases import machine
from shared.contracts.topics import CHANNEL_INBOUND
from shared.runtime.batches import Batch
from shared.runtime.records import Record
from shared.runtime.traced_records import Processing
from shared.runtime.traced_requests import TracedRequests
from shared.runtime.tracing import OFF, Tracing
from shared.testing.recorded_traces import RecordedTraces

RECORDS, BATCHES, REQUESTS, SPANS, TRIES = 500, 200, 100_000, 2_000, 7
HEADERS = {"type": b"MessageReceived", "subject": b"s", "seq": b"1", "causationid": b"c"}
BATCH = Batch([Record(CHANNEL_INBOUND, 0, n, b"acme:c", b"{}", HEADERS, 0) for n in range(RECORDS)], {})
SCOPE = {"type": "http", "method": "POST", "scheme": "http", "headers": [(b"h%d" % n, b"v") for n in range(12)]}


def best_ns(work: Callable[[], None], times: int) -> float:
    """CPU nanoseconds of one of `times`, in the best of some tries."""
    return min(_seconds(work) for _ in range(TRIES)) / times * 1e9


def _seconds(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def batches(tracing: Tracing) -> float:
    processing = Processing(tracing, "bench")

    def work() -> None:
        for _ in range(BATCHES):
            with processing.of(BATCH):
                pass

    return best_ns(work, BATCHES * RECORDS)


def requests(tracing: Tracing) -> float:
    traced = TracedRequests(tracing)

    def work() -> None:
        for _ in range(REQUESTS):
            traced.begun(SCOPE, "POST")

    return best_ns(work, REQUESTS)


def spans(tracing: Tracing) -> float:
    """Begun, with three attributes, and ended; without the export."""

    def work() -> None:
        for _ in range(SPANS):
            root = tracing.root("POST", {"a": "b", "c": 1, "d": "e"})
            assert root is not None
            root.end()

    return best_ns(work, SPANS)


async def main() -> None:
    print(machine())
    async with RecordedTraces(0.0) as unsampled:
        for name, tracing in (("off", OFF), ("on, nothing sampled", unsampled)):
            print(
                f"{name:<20} {batches(tracing):>8,.0f} ns a record of a batch {requests(tracing):>8,.0f} ns a request"
            )
    async with RecordedTraces(1.0) as sampled:
        print(f"{'a sampled span':<20} {spans(sampled):>8,.0f} ns, its export left out")


if __name__ == "__main__":
    asyncio.run(main())
