"""What the image holds, put together by its own script without Docker, and run with nothing set but what is given."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from shared.version import VERSION

PROJECT = Path(__file__).parents[2]
IMAGE = PROJECT / "deploy" / "image"


def run(installed: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [str(installed / "venv" / "bin" / "relaydesk"), *words]
    return subprocess.run(command, cwd="/", env=environment, timeout=120, capture_output=True, text=True, check=False)


def pins(text: str) -> set[str]:
    """`name==version` of each line that pins one, names as PEP 503 normalizes them."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    return {f"{re.sub('[-_.]+', '-', name).lower()}=={version}" for name, version in found}


@pytest.mark.timeout(1200)
def test_exactly_what_was_locked_is_installed_and_nothing_that_installs(installed: Path) -> None:
    found = pins((installed / "packages.txt").read_text())
    assert found <= pins((PROJECT / "requirements.lock").read_text())
    assert len(found) > 40
    assert list((installed / "venv" / "bin").glob("pip*")) == []
    assert list((installed / "venv").glob("lib/*/site-packages/pip")) == []
    assert not (installed / "app" / "shared" / "testing").exists()


@pytest.mark.timeout(1200)
def test_it_runs_and_leaves_its_folder_as_it_was(installed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in installed.rglob("*")}
    assert "RELAYDESK_ID_NAMESPACE" in run(installed, "secrets", "--kubernetes", "x").stdout
    refused = run(installed, "serve", "ingest", RELAYDESK_KAFKA="127.0.0.1:1")
    assert (refused.returncode, "RELAYDESK_ID_NAMESPACE: is not set" in refused.stderr) == (1, True)
    assert {path: path.stat().st_mtime_ns for path in installed.rglob("*")} == before


def test_the_image_runs_as_a_number_and_is_built_from_locked_wheels() -> None:
    stages = re.split(r"^FROM ", (IMAGE / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    last = stages[-1]
    assert re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert "--from=build" in last
    assert not re.search(r"apt-get|apk |gcc|COPY \. ", last)
    assert "--require-hashes --only-binary :all:" in (IMAGE / "install.sh").read_text()


def test_code_package_image_and_chart_are_of_one_version() -> None:
    package = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((PROJECT / "deploy" / "helm" / "relaydesk" / "Chart.yaml").read_text())
    image = re.search(r"^ARG VERSION=(.*)$", (IMAGE / "Dockerfile").read_text(), re.MULTILINE)
    assert image
    assert {package, chart["version"], chart["appVersion"], image[1]} == {VERSION}


def test_this_version_has_its_upgrade_notes() -> None:
    assert f"\n## {VERSION}\n" in (PROJECT / "docs" / "upgrades.md").read_text()
