"""The compose project says the same as `relaydesk run`: services, ports, settings. Docker itself is not needed."""

from pathlib import Path
from typing import Any

import yaml

from relaydesk.environment import service_environment
from relaydesk.installation import installation_secrets
from relaydesk.ports import Ports
from relaydesk.services import SERVICES, settings_of
from shared.engines.addresses import Addresses
from shared.engines.s3 import S3Keys

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
DEFAULTS = {
    "${KAFKA_PORT:-9092}": "9092",
    "${MONGO_PORT:-27017}": "27017",
    "${S3_PORT:-9000}": "9000",
    "${S3_ACCESS_KEY:-relaydesk}": "relaydesk",
    "${S3_SECRET_KEY:-relaydesk-secret}": "relaydesk-secret",
}
ENGINES = Addresses(
    "127.0.0.1:9092",
    "mongodb://127.0.0.1:27017/?replicaSet=rs0",
    "http://127.0.0.1:9000",
    S3Keys("relaydesk", "relaydesk-secret"),
)


def project() -> dict[str, Any]:
    text = (FOLDER / "compose.yml").read_text()
    for variable, value in DEFAULTS.items():
        text = text.replace(variable, value)
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_every_service_has_a_container_of_its_own_that_cannot_write_to_its_image() -> None:
    services = project()
    for name in SERVICES:
        assert services[name]["command"] == ["serve", name]
        assert services[name]["read_only"] is True
        assert services[name]["tmpfs"] == ["/tmp"], "files are fetched and checked there"
        assert services[name]["cap_drop"] == ["ALL"]
    engines = yaml.safe_load((FOLDER / "engines.yml").read_text())["services"]
    named = {other for service in services.values() for other in service.get("depends_on", {})}
    assert named <= {*services, *engines}


def test_the_settings_are_those_of_a_local_run(tmp_path: Path) -> None:
    secrets = installation_secrets(tmp_path)
    wanted = service_environment(Ports(), secrets, ENGINES, inherited={})
    made_by_setup = set(secrets.environment())
    ours = {name: value for name, value in wanted.items() if name.startswith("RELAYDESK_")}
    assert project()["gateway"]["environment"] == {k: v for k, v in ours.items() if k not in made_by_setup}


def test_the_settings_are_known_to_the_services() -> None:
    known = frozenset[str]().union(*(settings_of(name).variables() for name in SERVICES))
    assert set(project()["gateway"]["environment"]) <= known


def test_the_proxy_knows_where_every_service_is() -> None:
    ports = Ports()
    assert project()["proxy"]["command"] == [
        "proxy",
        f"--port={ports.api}",
        *(f"{name}=http://127.0.0.1:{ports.http(name)}" for name in SERVICES),
    ]
