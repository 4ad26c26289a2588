"""Metrics, alerts, runbooks and dashboards: each knows the other, and every alert fires when it should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from relaydesk import metrics_page
from relaydesk.chart_contract import CHART
from relaydesk.dashboards import DASHBOARDS, FOLDER, as_text
from tests.deploy.chart import PROJECT, needs_helm, of_kind, rendered

ALERTS = CHART / "files" / "alerts.yaml"
TESTS = Path(__file__).with_name("alerts_test.yaml")
RUNBOOKS = PROJECT / "docs" / "runbooks" / "README.md"
PROMTOOL = shutil.which("promtool")
NOT_OURS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
"""Of the client library, for every process."""


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"\b((?:relaydesk|process)_[a-z0-9_]+)", query))


def test_the_page_of_metrics_is_written_from_the_catalogue() -> None:
    assert metrics_page.PAGE.read_text() == metrics_page.page(), "run `python -m relaydesk.metrics_page`"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_dashboards_are_written_from_their_tables(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == as_text(name), "run `python -m relaydesk.dashboards`"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_show_only_metrics_that_are(name: str) -> None:
    panels = json.loads(as_text(name))["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert queries
    assert all(metrics_in(query) for query in queries)
    assert {metric for query in queries for metric in metrics_in(query)} <= metrics_page.exposed() | NOT_OURS
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_alerts_ask_only_for_metrics_that_are() -> None:
    for rule in rules():
        assert metrics_in(rule["expr"]), rule["alert"]
        assert metrics_in(rule["expr"]) <= metrics_page.exposed(), rule["alert"]


def test_what_stays_zero_has_an_alert() -> None:
    watched = {metric for rule in rules() for metric in metrics_in(rule["expr"])}
    assert metrics_page.stays_zero() <= watched


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    chapters = set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE))
    assert chapters == {rule["alert"] for rule in rules()}
    for rule in rules():
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (PROJECT / path, anchor) == (RUNBOOKS, rule["alert"].lower())
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert f"`{rule['expr']}`" in RUNBOOKS.read_text(), "the runbook shows another expression"


def test_each_alert_is_fired_by_a_test() -> None:
    asked = TESTS.read_text()
    missing = {
        r["alert"] for r in rules() if f'count(ALERTS{{alertname="{r["alert"]}", alertstate="firing"}})' not in asked
    }
    assert not missing


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here: it is in Debian's package prometheus")
def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(TESTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
def test_the_chart_has_alerts_and_dashboards_as_they_are() -> None:
    [rule] = of_kind(rendered("production"), "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    boards = of_kind(rendered("production"), "ConfigMap")["rd-relaydesk-dashboards"]["data"]
    assert boards == {f"{name}.json": as_text(name) for name in DASHBOARDS}


@needs_helm
def test_what_is_scraped_carries_the_label_that_alerts_and_dashboards_ask_for() -> None:
    [monitor] = of_kind(rendered("production"), "ServiceMonitor").values()
    [endpoint] = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("probe", "/metrics")
    assert endpoint["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_service_label_app_kubernetes_io_component"], "targetLabel": "component"}
    ]
