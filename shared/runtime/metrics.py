"""Every metric is declared here, once: add the name to its Literal and a row with help and labels to its table.

Names get the prefix `relaydesk_` and the usual suffixes; a registry per service, read at its probe port's `/metrics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CounterName = Literal[
    "records_consumed",
    "records_published",
    "records_retried",
    "records_dead_lettered",
    "group_rebalances",
    "group_commit_failures",
    "outbox_published",
    "outbox_failures",
    "inbound_taken",
    "deliveries_ended",
    "delivery_attempts",
    "bot_requests_ended",
    "media_jobs_ended",
    "media_jobs_put_off",
    "media_swept",
    "http_requests",
    "mongo_transactions",
    "mongo_transaction_retries",
    "projection_repeats",
    "projection_unplaced",
    "projection_unknown_types",
    "projection_held",
    "routing_decided",
    "routing_applied_before",
    "routing_let_go",
    "routing_conflicts",
    "stream_events",
    "stream_repeats",
    "stream_malformed",
    "stream_ephemeral_malformed",
    "stream_ephemeral_lost",
    "stream_divergences",
    "stream_resumes",
    "stream_refused",
    "stream_dismissed",
    "snippets_rendered",
    "spans_exported",
    "spans_dropped",
]
GaugeName = Literal[
    "consumer_lag",
    "consumer_progress_age_seconds",
    "consumer_behind_seconds",
    "lanes",
    "media_jobs_waiting",
    "media_stored_bytes",
    "outbox_waiting",
    "ready",
    "stream_sockets",
]
HistogramName = Literal[
    "batch_seconds",
    "batch_records",
    "publish_seconds",
    "http_seconds",
    "mongo_transaction_seconds",
    "accept_to_stream_seconds",
]


@dataclass(frozen=True, slots=True)
class Declared:
    """`stays_zero`: counts what must never be, that is losses and contradictions; each has an alert."""

    help: str
    labels: tuple[str, ...] = ()
    stays_zero: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredHistogram:
    help: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()


SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RECORDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)

COUNTERS: Mapping[CounterName, Declared] = {
    "records_consumed": Declared("Records handled by a group, redeliveries included", ("group", "topic")),
    "records_published": Declared("Records acknowledged by the broker", ("topic",)),
    "records_retried": Declared("Records of batches that were tried again, by the reason's class", ("group", "reason")),
    "records_dead_lettered": Declared("Records moved to a dead-letter topic", ("topic", "reason"), stays_zero=True),
    "group_rebalances": Declared("Assignments of partitions that a group member took over", ("group",)),
    "group_commit_failures": Declared("Commits that the broker refused: the batch is handled again", ("group",)),
    "outbox_published": Declared("Records published out of documents", ("collection",)),
    "outbox_failures": Declared("Documents whose records could not be published this time", ("collection",)),
    "inbound_taken": Declared("Records taken from channels, repeats included", ("channel_kind",)),
    "deliveries_ended": Declared(
        "Messages to channels by their end: sent, failed, unknown (alert), silenced, cancelled, erased", ("outcome",)
    ),
    "delivery_attempts": Declared("Attempts by outcome: sent, failed, retry, lost", ("kind", "outcome")),
    "bot_requests_ended": Declared("Questions to bots: answered, overtaken, erased, or why not", ("outcome",)),
    "media_jobs_ended": Declared("Files uploaded or fetched: ready, or why not", ("queue", "outcome")),
    "media_jobs_put_off": Declared("Tries that came to nothing for reasons outside", ("queue",)),
    "media_swept": Declared("What the sweep of media took away: media, upload, object", ("what",)),
    "http_requests": Declared("Requests answered, by route template", ("method", "route", "status")),
    "mongo_transactions": Declared("Transactions by outcome: committed, aborted, unknown", ("outcome",)),
    "mongo_transaction_retries": Declared("Transactions begun again after a transient error (write conflicts)"),
    "projection_repeats": Declared("Events of a redelivery that the read model had already"),
    "projection_unplaced": Declared("Read marks and media of what the read model does not have"),
    "projection_unknown_types": Declared("Events of types that this version does not know (archived all the same)"),
    "projection_held": Declared("Batches held because an event's predecessor is missing", stays_zero=True),
    "routing_decided": Declared("Records decided by the rules"),
    "routing_applied_before": Declared("Records of a redelivery that were applied before a crash or a fence"),
    "routing_let_go": Declared("Known already, fallen off a bounded list, or a stale bot's (see routing)", ("what",)),
    "routing_conflicts": Declared("Writes lost to another owner of the partition (alert when steady)"),
    "stream_events": Declared("Events read for the stream, repeats left out"),
    "stream_repeats": Declared("Repeats of a redelivery that the stream left out"),
    "stream_malformed": Declared("Records of workspace.events that are no events of ours", stays_zero=True),
    "stream_ephemeral_malformed": Declared("Records of workspace.ephemeral that are no events of ours"),
    "stream_ephemeral_lost": Declared("Typing and presence not passed on: Kafka away, or too much at once"),
    "stream_divergences": Declared("Two histories in one log: the process stops", stays_zero=True),
    "stream_resumes": Declared(
        "New sockets by how they begin: live, ring, kafka, ahead, or why not from the cursor", ("outcome",)
    ),
    "stream_refused": Declared("Upgrades refused, by error code", ("code",)),
    "stream_dismissed": Declared("Sockets that we closed, by close code (alert on many 4008)", ("code",)),
    "snippets_rendered": Declared("Snippets rendered for a contact: ok, or with missing values", ("outcome",)),
    "spans_exported": Declared("Spans of traces that the collector took"),
    "spans_dropped": Declared(
        "Spans given up: too many waited (full), or the collector did not take them (collector)", ("reason",)
    ),
}
GAUGES: Mapping[GaugeName, Declared] = {
    "consumer_lag": Declared("Records behind the end of the partition", ("group", "topic", "partition")),
    "consumer_progress_age_seconds": Declared(
        "Since when a partition has not moved although it has records, 0 = it moves", ("group", "topic", "partition")
    ),
    "consumer_behind_seconds": Declared(
        "Age of the last handled record of a partition that is behind, 0 = it is not", ("group", "topic", "partition")
    ),
    "media_stored_bytes": Declared(
        "Bytes kept for a workspace, of the 1,000 largest; all replicas say the same", ("workspace",)
    ),
    "media_jobs_waiting": Declared(
        "Files to be checked or fetched, those put off included; all replicas say the same", ("queue",)
    ),
    "lanes": Declared("Conversations with something to deliver, or to ask a bot", ("kind",)),
    "outbox_waiting": Declared("Documents with unpublished records at the last sweep", ("collection",)),
    "ready": Declared("1 while the service says it can serve"),
    "stream_sockets": Declared("Connected stream sockets"),
}
HISTOGRAMS: Mapping[HistogramName, DeclaredHistogram] = {
    "batch_seconds": DeclaredHistogram("Time to handle one batch, commit included", SECONDS, ("group",)),
    "batch_records": DeclaredHistogram("Records in a batch", RECORDS, ("group",)),
    "publish_seconds": DeclaredHistogram("Time from publish to the last acknowledgement", SECONDS),
    "http_seconds": DeclaredHistogram("Time to answer a request", SECONDS, ("method", "route")),
    "accept_to_stream_seconds": DeclaredHistogram(
        "From the time an event's cause was accepted to its writing to sockets", SECONDS, ()
    ),
    "mongo_transaction_seconds": DeclaredHistogram("Time of a transaction, retries included", SECONDS),
}


class Metrics:
    """The metrics of one service. Ask once for a child and keep it: `self._sent = metrics.counter("…", topic=t)`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}

    def counter(self, name: CounterName, **labels: str) -> Counter:
        """A bound child: `.inc(n)`. ValueError where the labels are not the declared ones."""
        if name not in self._counters:
            row = COUNTERS[name]
            self._counters[name] = Counter(f"relaydesk_{name}", row.help, row.labels, registry=self.registry)
        return self._counters[name].labels(**labels) if labels else self._counters[name]

    def gauge(self, name: GaugeName, **labels: str) -> Gauge:
        """A bound child: `.set(n)`."""
        if name not in self._gauges:
            row = GAUGES[name]
            self._gauges[name] = Gauge(f"relaydesk_{name}", row.help, row.labels, registry=self.registry)
        return self._gauges[name].labels(**labels) if labels else self._gauges[name]

    def drop(self, name: GaugeName, **labels: str) -> None:
        """Show this child no more."""
        self._gauges[name].remove(*(labels[label] for label in GAUGES[name].labels))

    def histogram(self, name: HistogramName, **labels: str) -> Histogram:
        """A bound child: `.observe(value)` or `with child.time():`."""
        if name not in self._histograms:
            row = HISTOGRAMS[name]
            self._histograms[name] = Histogram(
                f"relaydesk_{name}", row.help, row.labels, buckets=row.buckets, registry=self.registry
            )
        return self._histograms[name].labels(**labels) if labels else self._histograms[name]

    def exposition(self) -> bytes:
        """The Prometheus text format, version 0.0.4."""
        return generate_latest(self.registry)
