"""What `relaydesk secrets` prints is taken by the settings as it is."""

import json
from pathlib import Path

import pytest

from relaydesk.cli import main
from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings


def _manifest(text: str) -> dict[str, str]:
    body = json.loads("".join(line for line in text.splitlines() if not line.startswith("#")))
    assert (body["kind"], body["metadata"]["name"]) == ("Secret", "mine")
    secrets: dict[str, str] = body["stringData"]
    return secrets


def test_a_manifest_holds_fresh_secrets_that_services_start_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["secrets", "--kubernetes", "mine"])
    first = _manifest(capsys.readouterr().out)
    main(["secrets", "--kubernetes", "mine"])
    second = _manifest(capsys.readouterr().out)
    assert all(first[name] != second[name] for name in first)
    for name, value in {**first, "RELAYDESK_JWT_JWKS_URL": "https://issuer.test/jwks"}.items():
        monkeypatch.setenv(name, value)
    IngestSettings.load()
    GatewaySettings.load()


def test_an_installation_keeps_its_secrets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["secrets", "--data", str(tmp_path)])
    first = capsys.readouterr().out
    main(["secrets", "--data", str(tmp_path)])
    assert capsys.readouterr().out == first
    assert {line.partition("=")[0] for line in first.splitlines()} == {
        "RELAYDESK_ID_NAMESPACE",
        "RELAYDESK_SECRETS_KEY",
        "RELAYDESK_GATEWAY_CURSOR_KEY",
        "RELAYDESK_JWT_KEYS",
    }
