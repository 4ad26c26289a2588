"""Metrics, alerts, runbooks and dashboards: each knows the other, and every alert fires when it should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import ProcessCollector

from relaydesk import metrics_page
from relaydesk.chart_contract import CHART
from relaydesk.dashboards import DASHBOARDS, FOLDER, as_text
from relaydesk.services import SERVICES
from tests.deploy.chart import PROJECT, needs_helm, of_kind, rendered

ALERTS = CHART / "files" / "alerts.yaml"
TESTS = Path(__file__).with_name("alerts_test.yaml")
RUNBOOKS = PROJECT / "docs" / "runbooks" / "README.md"
PROMTOOL = shutil.which("promtool")
NOT_OURS = {"up"} | {
    name for family in ProcessCollector(registry=None).collect() for name in (family.name, f"{family.name}_total")
}
"""Of Prometheus and of its client library, for every process."""


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"\b((?:relaydesk|process)_[a-z0-9_]+|up(?={))", query))


def chapter(alert: str) -> str:
    """Of the runbooks."""
    _, _, behind = RUNBOOKS.read_text().partition(f"## {alert}\n")
    return behind.partition("\n## ")[0]


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
    for query in queries:
        assert query.count('{namespace=~"$namespace"') == len(re.findall(r"\b(?:relaydesk|process)_\w+", query)), query
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_imports_the_dashboards(name: str) -> None:
    board = json.loads(as_text(name))
    assert (board["uid"], len(board["uid"]) <= 40) == (name, True)
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "namespace"}
    taken = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y) for at in taken for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie on one another"
    assert max(x for x, _ in cells) < 24
    for panel in board["panels"]:
        assert panel["type"] == "row" or panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel.get("targets", ())}) == len(panel.get("targets", ()))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here: it is in Debian's package prometheus")
def test_prometheus_reads_every_query_of_the_dashboards(tmp_path: Path) -> None:
    queries = [
        q["expr"] for name in DASHBOARDS for p in json.loads(as_text(name))["panels"] for q in p.get("targets", ())
    ]
    rules = [{"record": f"q:{n}", "expr": q.replace("$__rate_interval", "1m")} for n, q in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_ask_only_for_metrics_that_are() -> None:
    for rule in rules():
        assert metrics_in(rule["expr"]), rule["alert"]
        assert metrics_in(rule["expr"]) <= metrics_page.exposed() | NOT_OURS, rule["alert"]


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
        when = f"after {rule['for']}" if "for" in rule else "at once"
        said = f"`{rule['labels']['severity']}`, {when}: `{rule['expr']}`"
        assert said in chapter(rule["alert"]), "the runbook shows another expression"
        assert all(part in chapter(rule["alert"]) for part in ("**Means.**", "**Look.**", "**Do.**")), rule["alert"]


def test_alerts_keep_installations_apart() -> None:
    for rule in rules():
        grouped = re.findall(r"\b(?:sum|max|min|count)\b *(by \([^)]*\)|\()", rule["expr"].replace("on () count(", ""))
        assert all("namespace" in by for by in grouped), rule["alert"]


def test_a_service_without_any_replica_is_noticed() -> None:
    [down] = [rule["expr"] for rule in rules() if rule["alert"] == "RelaydeskServiceDown"]
    assert set(re.findall(r"unless on \(namespace\) relaydesk_ready{component=\"(\w+)\"}", down)) == set(SERVICES)


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
    [rule] = of_kind(rendered("production", "--set", "monitoring.alerts.runbooks="), "PrometheusRule").values()
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
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/name"
    assert monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "relaydesk"
    assert 'job="relaydesk"' in ALERTS.read_text()
    services = of_kind(rendered("production"), "Service").values()
    assert all(monitor["spec"]["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items() for s in services)


@needs_helm
def test_runbooks_are_where_the_operators_have_them() -> None:
    [rule] = of_kind(rendered("production"), "PrometheusRule").values()
    for one in rule["spec"]["groups"][0]["rules"]:
        begin = "https://wiki.example.com/relaydesk/runbooks/README.md#"
        assert one["annotations"]["runbook_url"] == begin + one["alert"].lower()
