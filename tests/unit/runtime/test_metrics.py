"""Metrics are declared once; what is used without being declared, or declared twice, does not get through."""

from typing import get_args

import pytest

from shared.runtime.metrics import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    CounterName,
    GaugeName,
    HistogramName,
    Metrics,
)
from tests.architecture.modules import PRODUCT, modules


def test_every_name_has_a_row_and_every_row_a_name() -> None:
    assert set(get_args(CounterName)) == set(COUNTERS)
    assert set(get_args(GaugeName)) == set(GAUGES)
    assert set(get_args(HistogramName)) == set(HISTOGRAMS)
    assert all(row.help for table in (COUNTERS, GAUGES) for row in table.values())
    assert all(row.help and row.buckets for row in HISTOGRAMS.values())


def test_no_name_is_of_two_kinds() -> None:
    assert len({*COUNTERS, *GAUGES, *HISTOGRAMS}) == len(COUNTERS) + len(GAUGES) + len(HISTOGRAMS)


def test_every_metric_is_counted_somewhere() -> None:
    code = "".join(module.path.read_text() for module in modules(*PRODUCT) if module.name != "shared.runtime.metrics")
    assert [name for name in (*COUNTERS, *GAUGES, *HISTOGRAMS) if f'"{name}"' not in code] == []


def test_a_child_counts_under_its_labels() -> None:
    metrics = Metrics()
    sent = metrics.counter("records_published", topic="contacts")
    sent.inc(3)
    metrics.counter("records_published", topic="contacts").inc()
    assert b'relaydesk_records_published_total{topic="contacts"} 4.0' in metrics.exposition()


def test_a_label_that_is_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics().counter("records_published", tpic="contacts")


def test_two_services_of_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.gauge("ready").set(1)
    second.gauge("ready").set(0)
    assert b"relaydesk_ready 1.0" in first.exposition()
    assert b"relaydesk_ready 0.0" in second.exposition()
