"""A way into Kafka is whole or refused at start; a token is renewed before it ends, once for all connections."""

import asyncio

import pytest

from shared.runtime.kafka_access import Tokens
from shared.runtime.settings import KafkaSettings, SettingsError


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
