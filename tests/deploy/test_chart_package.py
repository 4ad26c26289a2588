"""The chart as it is published: a package in an OCI registry that renders what the folder renders."""

import re
import tarfile
from pathlib import Path

import pytest
import yaml

from relaydesk.chart_contract import CHART
from tests.deploy.chart import KUBERNETES, NAMESPACE, OLDEST, RELEASE, VALUE_SETS, helm, needs_helm, template
from tests.deploy.registry import registry

pytestmark = needs_helm
SEMVER = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    [made] = tmp_path.glob("*.tgz")
    return made


def test_what_is_pushed_is_pulled_and_renders_the_same(package: Path, tmp_path: Path) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    with registry() as at:
        pushed = helm("push", str(package), f"oci://{at}/charts", "--plain-http")
        assert pushed.returncode == 0, pushed.stderr
        words = ("--version", chart["version"], "--plain-http", "--untar", "--untardir", str(tmp_path / "pulled"))
        pulled = helm("pull", f"oci://{at}/charts/{chart['name']}", *words)
        assert pulled.returncode == 0, pulled.stderr
    for values in VALUE_SETS:
        where = ("--namespace", NAMESPACE, "--kube-version", f"{KUBERNETES}.0")
        file = ("--values", str(CHART / "ci" / f"{values}.yaml"))
        again = helm("template", RELEASE, str(tmp_path / "pulled" / "relaydesk"), *where, *file)
        assert again.stdout == template(values).stdout


def test_the_package_has_what_operators_need_and_nothing_of_ours(package: Path) -> None:
    with tarfile.open(package) as opened:
        names = {name.removeprefix("relaydesk/") for name in opened.getnames()}
    assert {"README.md", "values.schema.json", "files/alerts.yaml", "templates/NOTES.txt"} <= names
    assert not {name for name in names if name.startswith(("ci/", "charts/")) or name.endswith((".orig", ".lock"))}


def test_the_chart_says_what_it_is() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["apiVersion"], chart["type"]) == ("v2", "application")
    assert SEMVER.fullmatch(chart["version"])
    assert SEMVER.fullmatch(chart["appVersion"])
    assert "dependencies" not in chart, "no subcharts"
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert template("minimal", "--kube-version", f"{OLDEST}.0").returncode == 0
    assert template("minimal", "--kube-version", "1.29.9").returncode != 0
