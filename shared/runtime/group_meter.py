"""The metrics of one group, bound once: nothing is looked up per record."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Poison
from shared.runtime.metrics import Metrics
from shared.runtime.records import Partition, Record


class GroupMeter:
    def __init__(self, metrics: Metrics, group: str, topics: Iterable[str]) -> None:
        self._metrics = metrics
        self._group = group
        self._consumed = {topic: metrics.counter("records_consumed", group=group, topic=topic) for topic in topics}
        self._seconds = metrics.histogram("batch_seconds", group=group)
        self._size = metrics.histogram("batch_records", group=group)

    def handled(self, records: Sequence[Record], seconds: float) -> None:
        self._seconds.observe(seconds)
        self._size.observe(len(records))
        for topic, count in Counter(map(attrgetter("topic"), records)).items():
            self._consumed[topic].inc(count)

    def retried(self, records: int, error: Exception) -> None:
        reason = "transient" if is_away(error) else "poison" if isinstance(error, Poison) else "bug"
        self._metrics.counter("records_retried", group=self._group, reason=reason).inc(records)

    def fenced(self, records: int) -> None:
        self._metrics.counter("records_retried", group=self._group, reason="fenced").inc(records)

    def lag(self, lags: Mapping[Partition, int]) -> None:
        for (topic, partition), lag in lags.items():
            self._metrics.gauge("consumer_lag", group=self._group, topic=topic, partition=str(partition)).set(lag)
