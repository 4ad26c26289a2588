"""The settings of a process: read from `RELAYDESK_*` once, frozen, checked at start with the wrong name in the message.

Nothing else reads the environment. `RELAYDESK_TEST_*` and `RELAYDESK_INFO` belong to the tests and the supervisor.
"""

import base64
import binascii
import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, FilePath, SecretStr, StringConstraints, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contracts.topics import PARTITIONS

PREFIX = "RELAYDESK_"
NOT_OURS = (f"{PREFIX}TEST_", f"{PREFIX}INFO")


class SettingsError(Exception):
    """What is wrong, one line a variable, each with its name and what to do. Never holds a value of a secret."""


def _is_http(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address such as http://127.0.0.1:9000")
    return text.rstrip("/")


def _is_uuid(secret: SecretStr) -> SecretStr:
    try:
        UUID(secret.get_secret_value())
    except ValueError:
        raise ValueError("expected a UUID; make one with `uuidgen`") from None
    return secret


def _is_key(secret: SecretStr) -> SecretStr:
    try:
        size = len(base64.b64decode(secret.get_secret_value(), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != 32:
        raise ValueError("expected 32 bytes in base64; make one with `openssl rand -base64 32`")
    return secret


def _is_whole(url: str) -> str:
    if not urlsplit(url).path:
        raise ValueError("expected the whole address, such as http://127.0.0.1:4318/v1/traces")
    return url


def header_pairs(text: str) -> list[tuple[str, str]]:
    """`name=value,name=value` as HTTP headers. ValueError, without the text."""
    pairs = [item.partition("=") for item in text.split(",")]
    if not all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()) and value for name, _, value in pairs):
        raise ValueError("expected headers such as name=value,other=value")
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _are_headers(secret: SecretStr) -> SecretStr:
    header_pairs(secret.get_secret_value())
    return secret


HttpUrl = Annotated[str, AfterValidator(_is_http)]
Key = Annotated[SecretStr, AfterValidator(_is_key)]
Port = Annotated[int, Field(ge=0, le=65535)]


class EnvironmentSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def load(cls) -> Self:
        """From the environment. SettingsError names every wrong or missing variable."""
        try:
            return cls()
        except ValidationError as error:
            faults = error.errors(include_input=False)
            raise SettingsError("\n".join(_explain(dict(fault)) for fault in faults)) from None

    @classmethod
    def variables(cls) -> frozenset[str]:
        return frozenset(f"{PREFIX}{name.upper()}" for name in cls.model_fields)


class KafkaSettings(EnvironmentSettings):
    """`instance` makes the static membership `<service>-<instance>` and must be unique among replicas of a service.
    `kafka_leave_on_stop`: give partitions up when told to stop, for replicas whose successor has another name (pods of
    a Deployment); else they wait for a successor of the same name, 45 s. A killed process never gives them up.

    The broker's certificate is checked against `kafka_ca_file` (PEM; empty = the system's authorities) and its name;
    `kafka_cert_file`, `kafka_key_file`: our own, for mutual TLS. With OAUTHBEARER a token is asked for at
    `kafka_oauth_token_url` with the client's id and secret (the client credentials grant) and renewed in time.

    `topic_partitions`: of the topics by conversation, contact or workspace, as `relaydesk topics apply` makes them and
    `topics check` expects them; on a running installation see docs/operations.md first.
    """

    kafka: str = "127.0.0.1:9092"
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""
    topic_partitions: Annotated[int, Field(ge=1, le=10_000)] = PARTITIONS
    instance: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "1"
    kafka_leave_on_stop: bool = False
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: FilePath | None = None
    kafka_cert_file: FilePath | None = None
    kafka_key_file: FilePath | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr | None = None
    kafka_oauth_token_url: HttpUrl | None = None
    kafka_oauth_client_id: str = ""
    kafka_oauth_client_secret: SecretStr | None = None
    kafka_oauth_scope: str = ""

    @model_validator(mode="after")
    def _a_way_in(self) -> Self:
        """What is set is whole, and is used: a login with SASL, certificates with TLS."""
        sasl = self.kafka_security_protocol.startswith("SASL")
        if sasl != (self.kafka_sasl_mechanism is not None):
            raise ValueError(f"set {PREFIX}KAFKA_SASL_MECHANISM with a SASL protocol, and only then")
        if sasl and (lacking := [name for name in self._needed() if not getattr(self, name)]):
            names = ", ".join(PREFIX + name.upper() for name in lacking)
            raise ValueError(f"{self.kafka_sasl_mechanism} needs {names}")
        files = (self.kafka_ca_file, self.kafka_cert_file, self.kafka_key_file)
        if any(files) and not self.kafka_security_protocol.endswith("SSL"):
            raise ValueError(f"certificates need {PREFIX}KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL")
        if (self.kafka_cert_file is None) != (self.kafka_key_file is None):
            raise ValueError(f"set both {PREFIX}KAFKA_CERT_FILE and {PREFIX}KAFKA_KEY_FILE, or neither")
        return self

    def _needed(self) -> tuple[str, ...]:
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            return "kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret"
        return "kafka_sasl_username", "kafka_sasl_password"


class MongoSettings(EnvironmentSettings):
    """Each service has the database `<mongo_prefix>_<service>` and no other."""

    mongo: Annotated[str, Field(repr=False)] = "mongodb://127.0.0.1:27017/?replicaSet=rs0"  # may hold a password
    mongo_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "relaydesk"
    mongo_driver: Literal["motor", "pymongo"] = "motor"


class TracesSettings(EnvironmentSettings):
    """Traces are off unless `traces_endpoint` names a collector that speaks OTLP over HTTP, by the whole address with
    its path (docs/operations.md, "Traces"). `traces_sample`: the share of requests that begin a trace, 0 to 1.
    `traces_headers`: for the collector, such as a token: `name=value,name=value`.
    """

    traces_endpoint: Annotated[HttpUrl, AfterValidator(_is_whole)] | None = None
    traces_sample: Annotated[float, Field(ge=0, le=1)] = 0.01
    traces_headers: Annotated[SecretStr, AfterValidator(_are_headers)] | None = None


class Settings(KafkaSettings, MongoSettings, TracesSettings):
    """What every service has. `host`: the address to listen on; `drain_s`: seconds between unready and closing."""

    host: str = "127.0.0.1"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    allow_private_urls: bool = False


class AuthSettings(EnvironmentSettings):
    """Who signs tokens: a file (JWKS, or PEM with one public key) or a JWKS URL. Claim names as the issuer has them.

    `member_rate`: requests a second that one member may send to this replica of this service, 0 = no limit; `…_burst`:
    so many at once. `workspace_…`: the same for all members of a workspace together. See docs/operations.md, "Rate
    limits".
    """

    jwt_keys: Path | None = None
    jwt_jwks_url: HttpUrl | None = None
    jwt_issuer: str = "relaydesk"
    jwt_audience: str = "relaydesk"
    jwt_claim_member: str = "sub"
    jwt_claim_workspace: str = "workspace"
    jwt_claim_role: str = "role"
    jwt_claim_name: str = "name"
    gateway_url: HttpUrl = "http://127.0.0.1:8080"
    member_rate: Annotated[float, Field(ge=0)] = 500.0
    member_burst: Annotated[float, Field(ge=1)] = 5_000.0
    workspace_rate: Annotated[float, Field(ge=0)] = 5_000.0
    workspace_burst: Annotated[float, Field(ge=1)] = 20_000.0

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        if (self.jwt_keys is None) == (self.jwt_jwks_url is None):
            raise ValueError(f"set exactly one of {PREFIX}JWT_KEYS (a file) and {PREFIX}JWT_JWKS_URL")
        return self


class S3Settings(EnvironmentSettings):
    """`s3_public`: the address as browsers reach it, when it differs; signed URLs carry it."""

    s3: HttpUrl = "http://127.0.0.1:9000"
    s3_public: HttpUrl | None = None
    s3_access_key: SecretStr
    s3_secret_key: SecretStr
    s3_bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "relaydesk"
    s3_region: str = "us-east-1"


class InstallationSecrets(EnvironmentSettings):
    """Secrets of the installation. `id_namespace` never changes: every id derives from it.

    What `secrets_key_previous` sealed can be opened as well. To change keys, set the new one here first, then swap
    them: ingest seals anew what the old one sealed (docs/operations.md).
    """

    id_namespace: Annotated[SecretStr, AfterValidator(_is_uuid)]
    secrets_key: Key
    secrets_key_previous: Key | None = None


def reject_unknown(environ: Mapping[str, str], classes: Iterable[type[EnvironmentSettings]]) -> None:
    """SettingsError for each `RELAYDESK_*` variable that no class of `classes` (all services') knows."""
    known = sorted(frozenset[str]().union(*(settings.variables() for settings in classes)))
    strays = [name for name in sorted(environ) if name.upper().startswith(PREFIX) and name.upper() not in known]
    lines = [_unknown(name, known) for name in strays if not name.upper().startswith(NOT_OURS)]
    if lines:
        raise SettingsError("\n".join(lines))


def _unknown(name: str, known: list[str]) -> str:
    short = [own.removeprefix(PREFIX) for own in known]
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), short, n=1)
    advice = f"did you mean {PREFIX}{close[0]}?" if close else "remove it, or see docs/settings.md"
    return f"{name}: no such setting; {advice}"


def _explain(fault: dict[str, Any]) -> str:
    if not fault["loc"]:
        return str(fault["msg"]).removeprefix("Value error, ")
    name = PREFIX + ".".join(str(part) for part in fault["loc"]).upper()
    if fault["type"] == "missing":
        return f"{name}: is not set; it has no default, so set it"
    return f"{name}: {str(fault['msg']).removeprefix('Value error, ')}"
