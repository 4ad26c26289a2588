"""Grafana's dashboards, written from the tables below: `python -m relaydesk.dashboards`. A test compares them."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from relaydesk.chart_contract import CHART

FOLDER = CHART / "files" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
NAMESPACES = {"query": "label_values(relaydesk_ready, namespace)", "refId": "namespaces"}
VARIABLES = [
    {"type": "datasource", "name": "datasource", "query": "prometheus", "label": "Prometheus"},
    {
        "type": "query",
        "name": "namespace",
        "label": "Namespace",
        "datasource": SOURCE,
        "query": NAMESPACES,
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    },
]
"""What is chosen at the head of a dashboard; all namespaces, also where nothing carries that label."""

WIDTH, HEIGHT, COLUMNS = 8, 8, 3
SCHEMA_VERSION = 39

Unit = Literal["short", "s", "reqps", "bytes", "percentunit"]


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: legend -> PromQL. `zero`: red as soon as it is more than 0."""

    title: str
    text: str
    queries: dict[str, str]
    unit: Unit = "short"
    zero: bool = False


OURS = '{job="relaydesk"}'
HERE = 'namespace=~"$namespace"'
_METRIC = re.compile(r"\b((?:relaydesk|process)_\w+)(?:{([^}]*)})?")


def _here(query: str) -> str:
    """Of the chosen installations alone: a Prometheus may see several."""
    return _METRIC.sub(lambda found: f"{found[1]}{{{', '.join(filter(None, (HERE, found[2])))}}}", query)


def _new(metric: str, by: str = "") -> str:
    """Counted in the last hour. `increase` does not see a series begin, and most of these begin with their first 1."""
    counter = f"relaydesk_{metric}"
    return f"sum{f' by ({by}) ' if by else ''}(clamp_min({counter} - ({counter} offset 1h or 0 * {counter}), 0))"


def _rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by}) ' if by else ''}(rate(relaydesk_{metric}[$__rate_interval]))"


def _quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate(relaydesk_{metric}_bucket[$__rate_interval])))"


OVERVIEW: dict[str, list[Panel]] = {
    "Promises": [
        Panel(
            "Dead letters, held and foreign records",
            "What must stay 0: each has an alert and a runbook",
            {
                "dead letters of {{topic}}": _new("records_dead_lettered_total", "topic"),
                "read model held": _new("projection_held_total"),
                "two histories": _new("stream_divergences_total"),
                "foreign records": _new("stream_malformed_total"),
            },
            zero=True,
        ),
        Panel(
            "Accepted to on screens",
            "From the acceptance of a message or command to its writing to sockets",
            {
                "p50": _quantile(0.5, "accept_to_stream_seconds"),
                "p99": _quantile(0.99, "accept_to_stream_seconds"),
            },
            "s",
        ),
        Panel("Ready replicas", "As /readyz says", {"{{component}}": "sum by (component) (relaydesk_ready)"}),
    ],
    "Channels": [
        Panel(
            "Records taken",
            "Repeats included",
            {"{{channel_kind}}": _rate("inbound_taken_total", "channel_kind")},
            "reqps",
        ),
        Panel(
            "Deliveries ended",
            "To channels, by end",
            {"{{outcome}}": _rate("deliveries_ended_total", "outcome")},
            "reqps",
        ),
        Panel(
            "Questions to bots", "By outcome", {"{{outcome}}": _rate("bot_requests_ended_total", "outcome")}, "reqps"
        ),
    ],
    "Agents": [
        Panel("Sockets", "Connected streams", {"{{pod}}": "sum by (pod) (relaydesk_stream_sockets)"}),
        Panel(
            "How sockets begin",
            "live, from the ring, from Kafka, or why not",
            {"{{outcome}}": _rate("stream_resumes_total", "outcome")},
            "reqps",
        ),
        Panel(
            "Sockets that we closed or refused",
            "4008: too slow; 1001: a replica went",
            {
                "closed {{code}}": _rate("stream_dismissed_total", "code"),
                "refused {{code}}": _rate("stream_refused_total", "code"),
            },
            "reqps",
        ),
        Panel(
            "Requests",
            "By service and status",
            {"{{component}} {{status}}": _rate("http_requests_total", "component, status")},
            "reqps",
        ),
        Panel(
            "Time to answer, p99", "By service", {"{{component}}": _quantile(0.99, "http_seconds", "component")}, "s"
        ),
        Panel(
            "Snippets rendered",
            "With or without missing values",
            {"{{outcome}}": _rate("snippets_rendered_total", "outcome")},
            "reqps",
        ),
    ],
    "Media": [
        Panel(
            "Files waiting", "To be checked or fetched", {"{{queue}}": "max by (queue) (relaydesk_media_jobs_waiting)"}
        ),
        Panel(
            "Files ended",
            "ready, or why not",
            {"{{queue}} {{outcome}}": _rate("media_jobs_ended_total", "queue, outcome")},
            "reqps",
        ),
        Panel(
            "Bytes kept",
            "Of the ten largest workspaces",
            {"{{workspace}}": "topk(10, max by (workspace) (relaydesk_media_stored_bytes))"},
            "bytes",
        ),
    ],
}
INTERNALS: dict[str, list[Panel]] = {
    "Consumers": [
        Panel(
            "Records behind",
            "By group and topic",
            {"{{group}} {{topic}}": "sum by (group, topic) (relaydesk_consumer_lag)"},
        ),
        Panel(
            "Without progress",
            "The partition that stands longest",
            {"{{group}} {{topic}}": "max by (group, topic) (relaydesk_consumer_progress_age_seconds)"},
            "s",
        ),
        Panel(
            "Age of what is handled",
            "Of partitions that are behind; alert at half the retention",
            {"{{group}} {{topic}}": "max by (group, topic) (relaydesk_consumer_behind_seconds)"},
            "s",
        ),
        Panel(
            "Records handled", "Redeliveries included", {"{{group}}": _rate("records_consumed_total", "group")}, "reqps"
        ),
        Panel("Time of a batch, p99", "Commit included", {"{{group}}": _quantile(0.99, "batch_seconds", "group")}, "s"),
        Panel(
            "Rebalances, refused commits, repeated tries",
            "Few at every rolling restart",
            {
                "rebalances {{group}}": _rate("group_rebalances_total", "group"),
                "commits refused {{group}}": _rate("group_commit_failures_total", "group"),
                "tried again {{group}} {{reason}}": _rate("records_retried_total", "group, reason"),
            },
            "reqps",
        ),
    ],
    "Repeats that were recognized": [
        Panel(
            "Suppressed",
            "Redeliveries that changed nothing",
            {
                "routing": _rate("routing_applied_before_total"),
                "read model": _rate("projection_repeats_total"),
                "stream": _rate("stream_repeats_total"),
            },
            "reqps",
        ),
        Panel(
            "Let go by routing",
            "Known messages, stale bots, old receipts",
            {"{{what}}": _rate("routing_let_go_total", "what")},
            "reqps",
        ),
        Panel(
            "Writes lost to another owner", "Few at a rebalance", {"routing": _rate("routing_conflicts_total")}, "reqps"
        ),
    ],
    "Engines": [
        Panel(
            "Kafka: time to publish, p99",
            "Until the last acknowledgement",
            {"{{component}}": _quantile(0.99, "publish_seconds", "component")},
            "s",
        ),
        Panel(
            "MongoDB: time of a transaction, p99",
            "Retries included",
            {"{{component}}": _quantile(0.99, "mongo_transaction_seconds", "component")},
            "s",
        ),
        Panel(
            "Not yet published",
            "Documents with records that wait",
            {"{{collection}}": "max by (collection) (relaydesk_outbox_waiting)"},
        ),
    ],
    "Processes": [
        Panel(
            "CPU",
            "Cores",
            {"{{pod}}": f"sum by (pod) (rate(process_cpu_seconds_total{OURS}[$__rate_interval]))"},
        ),
        Panel("Memory", "Resident", {"{{pod}}": f"sum by (pod) (process_resident_memory_bytes{OURS})"}, "bytes"),
        Panel("Open files", "Sockets are files", {"{{pod}}": f"sum by (pod) (process_open_fds{OURS})"}),
    ],
}
DASHBOARDS = {"relaydesk-overview": ("Relaydesk", OVERVIEW), "relaydesk-internals": ("Relaydesk internals", INTERNALS)}


def as_text(uid: str) -> str:
    """A dashboard as Grafana imports it."""
    title, rows = DASHBOARDS[uid]
    document = {
        "uid": uid,
        "title": title,
        "tags": ["relaydesk"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": VARIABLES},
        "panels": _panels(rows),
    }
    return json.dumps(document, indent=1) + "\n"


def _panels(rows: dict[str, list[Panel]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in rows.items():
        found.append(
            {"type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "id": len(found) + 1}
        )
        for number, panel in enumerate(panels):
            line, column = divmod(number, COLUMNS)
            place = {"x": column * WIDTH, "y": y + 1 + line * HEIGHT, "w": WIDTH, "h": HEIGHT}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
        y += 1 + -(-len(panels) // COLUMNS) * HEIGHT
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    red = [{"color": "green", "value": None}, {"color": "red", "value": 0.5}]
    shown = {
        "unit": panel.unit,
        "min": 0,
        "custom": {"fillOpacity": 10, "thresholdsStyle": {"mode": "area" if panel.zero else "off"}},
    }
    steps = red if panel.zero else red[:1]
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {**shown, "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": _here(query), "legendFormat": legend}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(as_text(name))
