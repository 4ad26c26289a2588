"""How clients get into Kafka: TLS and SASL, from the settings to the options of aiokafka's and FastStream's clients.

Certificates are read once, at start: a renewed file needs a restart. OAuth tokens are renewed as they expire.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from aiokafka.helpers import create_ssl_context
from faststream.security import BaseSecurity, SASLOAuthBearer, SASLPlaintext, SASLScram256, SASLScram512

from shared.runtime.settings import KafkaSettings, SettingsError

TOKEN_TIMEOUT_S = 10.0
USED_OF_LIFETIME = 0.8
"""A token is renewed after this part of its lifetime."""

Monotonic = Callable[[], float]


class TokenSource(Protocol):
    async def fetch(self) -> tuple[str, float]:
        """A token and the seconds it lasts. KafkaConnectionError where there is none to be had."""


@dataclass(frozen=True)
class ClientCredentials:
    """RFC 6749, section 4.4: our id and secret for a token, at the issuer's token endpoint."""

    url: str
    client_id: str
    client_secret: str
    scope: str
    tls: ssl.SSLContext

    async def fetch(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"} | ({"scope": self.scope} if self.scope else {})
        login = f"{quote(self.client_id)}:{quote(self.client_secret)}"  # encoded so: RFC 6749, section 2.3.1
        headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        post: dict[str, Any] = {"data": form, "headers": headers, "ssl": self.tls, "allow_redirects": False}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TOKEN_TIMEOUT_S)) as session,
                session.post(self.url, **post) as answer,
            ):
                if answer.status != 200:
                    raise KafkaConnectionError(f"the token endpoint answers {answer.status}")
                granted = await answer.json()
                return str(granted["access_token"]), float(granted.get("expires_in", 60))
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise KafkaConnectionError(f"no token from the token endpoint: {type(error).__name__}") from error


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """The token that connections show, kept while it is fresh; one request at a time for all connections."""

    def __init__(self, source: TokenSource, clock: Monotonic = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._token, self._until = "", 0.0
        self._renewing = asyncio.Lock()

    async def token(self) -> str:
        async with self._renewing:
            if self._clock() >= self._until:
                self._token, lifetime = await self._source.fetch()
                self._until = self._clock() + lifetime * USED_OF_LIFETIME
            return self._token


class KafkaAccess:
    """What the clients of one process have in common. SettingsError where a certificate cannot be used."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._tls = _tls(settings) if settings.kafka_security_protocol.endswith("SSL") else None
        self._tokens = Tokens(_credentials(settings)) if settings.kafka_sasl_mechanism == "OAUTHBEARER" else None

    def of_clients(self, client_id: str) -> dict[str, Any]:
        """Options of every aiokafka client."""
        settings, name, password = self._settings, *self._login()
        options = {
            "bootstrap_servers": settings.kafka,
            "client_id": client_id,
            "security_protocol": settings.kafka_security_protocol,
            "ssl_context": self._tls,
        }
        if settings.kafka_sasl_mechanism is None:
            return options
        login = {"sasl_plain_username": name, "sasl_plain_password": password}
        mechanism = {"sasl_mechanism": settings.kafka_sasl_mechanism, "sasl_oauth_token_provider": self._tokens}
        return options | mechanism | (login if self._tokens is None else {})

    def of_broker(self) -> dict[str, Any]:
        """The same for FastStream's `KafkaBroker`, beside its servers and client id."""
        return {"security": self._security(), "sasl_oauth_token_provider": self._tokens}

    def _security(self) -> BaseSecurity:
        use_ssl, (name, password) = self._tls is not None, self._login()
        match self._settings.kafka_sasl_mechanism:
            case None:
                return BaseSecurity(self._tls, use_ssl)
            case "OAUTHBEARER":
                return SASLOAuthBearer(self._tls, use_ssl)
            case "PLAIN":
                return SASLPlaintext(name, password, self._tls, use_ssl)
            case "SCRAM-SHA-256":
                return SASLScram256(name, password, self._tls, use_ssl)
            case "SCRAM-SHA-512":
                return SASLScram512(name, password, self._tls, use_ssl)

    def _login(self) -> tuple[str, str]:
        password = self._settings.kafka_sasl_password
        return self._settings.kafka_sasl_username, password.get_secret_value() if password else ""


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    ca, certificate, key = settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file
    names = (str(path) if path else None for path in (ca, certificate, key))
    try:
        cafile, certfile, keyfile = names
        context: ssl.SSLContext = create_ssl_context(cafile=cafile, certfile=certfile, keyfile=keyfile)
    except (OSError, ssl.SSLError) as error:
        expected = "expected PEM files, the key without a password"
        raise SettingsError(f"RELAYDESK_KAFKA_CA_FILE, …_CERT_FILE, …_KEY_FILE: {error.strerror}; {expected}") from None
    return context


def _credentials(settings: KafkaSettings) -> ClientCredentials:
    """The issuer's certificate may be of the brokers' authority, or of one that this machine trusts (SSL_CERT_FILE)."""
    tls = ssl.create_default_context()
    if settings.kafka_ca_file:
        tls.load_verify_locations(settings.kafka_ca_file)
    secret = settings.kafka_oauth_client_secret
    assert settings.kafka_oauth_token_url is not None and secret is not None  # the settings check both
    return ClientCredentials(
        settings.kafka_oauth_token_url,
        settings.kafka_oauth_client_id,
        secret.get_secret_value(),
        settings.kafka_oauth_scope,
        tls,
    )
