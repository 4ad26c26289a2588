"""The page `docs/metrics.md`, written from the catalogue: `python -m relaydesk.metrics_page`."""

from collections.abc import Iterator
from pathlib import Path

from shared.runtime.metrics import COUNTERS, GAUGES, HISTOGRAMS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
HEADER = """# Metrics

Every service answers `GET /metrics` on its probe port in the Prometheus text format. All metrics are declared in
`shared/runtime/metrics.py`; this page is written from there by `python -m relaydesk.metrics_page`; do not edit. Alerts
are in the chart (`deploy/helm/relaydesk/files/alerts.yaml`), each with a [runbook](runbooks/README.md).
"""
ZERO = """
## What stays 0

These count losses and contradictions: what the promises of the [architecture](architecture.md) rule out. Any increase
is an alert, and the test of a rolling restart under load reads them from every process afterwards.

| metric | labels | counts |
|---|---|---|
"""


def exposed() -> set[str]:
    """All names as Prometheus sees them."""
    counters = {f"relaydesk_{name}_total" for name in COUNTERS}
    gauges = {f"relaydesk_{name}" for name in GAUGES}
    return (
        counters | gauges | {f"relaydesk_{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count")}
    )


def stays_zero() -> set[str]:
    """The names of the counters that count what must never be."""
    return {f"relaydesk_{name}_total" for name, row in COUNTERS.items() if row.stays_zero}


def page() -> str:
    zero = "".join(_row(f"{name}_total", row.labels, row.help) for name, row in COUNTERS.items() if row.stays_zero)
    return HEADER + ZERO + zero + "".join(_sections())


def _sections() -> Iterator[str]:
    yield "\n## Counters\n\n| metric | labels | counts |\n|---|---|---|\n"
    yield from (_row(f"{name}_total", row.labels, row.help) for name, row in COUNTERS.items() if not row.stays_zero)
    yield "\n## Gauges\n\n| metric | labels | shows |\n|---|---|---|\n"
    yield from (_row(name, row.labels, row.help) for name, row in GAUGES.items())
    yield "\n## Histograms\n\n| metric | labels | measures | buckets |\n|---|---|---|---|\n"
    for name, row in HISTOGRAMS.items():
        yield _row(name, row.labels, f"{row.help} | {row.buckets[0]:g} … {row.buckets[-1]:g}")


def _row(name: str, labels: tuple[str, ...], text: str) -> str:
    return f"| `relaydesk_{name}` | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
