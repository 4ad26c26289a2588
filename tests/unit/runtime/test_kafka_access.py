"""A way into Kafka is whole or refused at start; a token is renewed before it ends, once for all connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from shared.engines.ports import LOOPBACK
from shared.runtime.kafka_access import KafkaAccess, Tokens
from shared.runtime.settings import KafkaSettings, SettingsError
from shared.testing.secured_kafka import Authority


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "RELAYDESK_KAFKA_SASL_MECHANISM"),
        ({"SASL_MECHANISM": "PLAIN"}, "RELAYDESK_KAFKA_SASL_MECHANISM"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-512", "SASL_USERNAME": "ann"},
            "RELAYDESK_KAFKA_SASL_PASSWORD",
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"},
            "RELAYDESK_KAFKA_OAUTH_TOKEN_URL, RELAYDESK_KAFKA_OAUTH_CLIENT_ID, RELAYDESK_KAFKA_OAUTH_CLIENT_SECRET",
        ),
        ({"SECURITY_PROTOCOL": "TLS"}, "RELAYDESK_KAFKA_SECURITY_PROTOCOL"),
        ({"SECURITY_PROTOCOL": "SSL", "CA_FILE": "/nowhere/ca.pem"}, "RELAYDESK_KAFKA_CA_FILE"),
        ({"CA_FILE": __file__}, "RELAYDESK_KAFKA_SECURITY_PROTOCOL=SSL"),
        ({"SECURITY_PROTOCOL": "SSL", "KEY_FILE": __file__}, "both RELAYDESK_KAFKA_CERT_FILE and"),
    ],
)
def test_half_a_login_is_refused_with_what_is_lacking(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"RELAYDESK_KAFKA_{name}", value)
    with pytest.raises(SettingsError, match=says):
        KafkaSettings.load()


class Issuer:
    """Gives token 1, 2, 3 …, each for 100 seconds."""

    def __init__(self) -> None:
        self.given = 0

    async def fetch(self) -> tuple[str, float]:
        self.given += 1
        await asyncio.sleep(0)
        return str(self.given), 100.0


async def test_a_token_is_kept_while_fresh_and_renewed_before_it_ends() -> None:
    now = 0.0
    tokens = Tokens(Issuer(), lambda: now)
    assert await asyncio.gather(*(tokens.token() for _ in range(5))) == ["1"] * 5
    now = 79.0
    assert await tokens.token() == "1"
    now = 80.0
    assert await tokens.token() == "2"


@pytest.fixture
def authorities(tmp_path: Path) -> dict[str, Authority]:
    for name in ("brokers", "issuers"):
        (tmp_path / name).mkdir()
    return {name: Authority.make(tmp_path / name) for name in ("brokers", "issuers")}


@pytest_asyncio.fixture
async def token_url(authorities: dict[str, Authority], tmp_path: Path) -> AsyncIterator[str]:
    """An issuer whose certificate is of an authority of its own."""
    both = tmp_path / "issuer.pem"
    both.write_text(authorities["issuers"].chain + authorities["issuers"].key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(both)

    async def grant(request: web.BaseRequest) -> web.Response:
        return web.json_response({"access_token": "granted", "expires_in": 60})

    runner = web.ServerRunner(web.Server(grant))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0, ssl_context=tls).start()
    yield f"https://{LOOPBACK}:{runner.addresses[0][1]}/token"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("brokers", "machine", "trusted"),
    [("brokers", "issuers", True), ("issuers", None, True), (None, "issuers", True), ("brokers", None, False)],
)
async def test_the_issuer_is_trusted_by_the_brokers_authority_or_the_machines(
    authorities: dict[str, Authority],
    token_url: str,
    monkeypatch: pytest.MonkeyPatch,
    brokers: str | None,
    machine: str | None,
    trusted: bool,
) -> None:
    if machine:
        monkeypatch.setenv("SSL_CERT_FILE", str(authorities[machine].ca_file))
    settings = KafkaSettings(
        kafka="kafka:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_ca_file=authorities[brokers].ca_file if brokers else None,
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_oauth_token_url=token_url,
        kafka_oauth_client_id="routing",
        kafka_oauth_client_secret=SecretStr("secret"),
    )
    tokens = KafkaAccess(settings).of_clients("test")["sasl_oauth_token_provider"]
    if trusted:
        assert await tokens.token() == "granted"
    else:
        with pytest.raises(KafkaConnectionError, match="no token from the token endpoint"):
            await tokens.token()
