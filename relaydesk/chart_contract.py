"""What the Helm chart has to know of the code: `python -m relaydesk.chart_contract` writes it into the chart.

`files/contract.json` holds services, ports, settings, topics, rights and routes; the templates read it. Of
`values.schema.json` the lists of settings that may be given are written. A test compares both with the code.
"""

import json
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from relaydesk.services import SERVICES, settings_of
from services.gateway.settings import RebuildSettings
from shared.contracts import topics
from shared.contracts.rights import PRINCIPALS, grants
from shared.contracts.routes import CONSOLE, DOCS, SERVICE_OF, STREAM
from shared.contracts.topics import TOPICS
from shared.runtime.found_topics import REPLICAS
from shared.runtime.serve import HARD_STOP_S
from shared.runtime.settings import PREFIX, EnvironmentSettings, KafkaSettings, S3Settings
from shared.runtime.topic_admin import settings_of as topic_settings

CHART = Path(__file__).resolve().parents[1] / "deploy" / "helm" / "relaydesk"
CONTRACT, SCHEMA = CHART / "files" / "contract.json", CHART / "values.schema.json"

CALLS_OUT = ("dispatch", "media")
"""Who calls addresses that customers gave: these may reach the internet."""

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "routing": {"routing": topics.ROUTING_INPUTS},
    "dispatch": {"dispatch": (topics.CHANNEL_OUTBOUND,), "dispatch-bots": (topics.BOT_REQUESTS,)},
    "media": {"media": (topics.MEDIA_JOBS,)},
}
"""Service -> consumer group -> topics, for the services that scale by their lag."""

PASSWORDS = ("mongo",)
"""Fields that may hold a password within them: settings that come from a Secret though they are plain text."""

OF_THE_CHART = (
    *("host", "instance", "drain_s", "kafka", "topic_prefix", "topic_partitions", "mongo_prefix", "allow_private_urls"),
    *(name for name in KafkaSettings.model_fields if name.startswith("kafka_")),
    *("s3", "s3_public", "s3_bucket", "s3_region"),
    *("jwt_keys", "jwt_jwks_url", "jwt_issuer", "jwt_audience"),
    *("jwt_claim_member", "jwt_claim_workspace", "jwt_claim_role", "jwt_claim_name"),
    *(f"{service}_{port}_port" for service in SERVICES for port in ("http", "probe", "stream")),
    *(f"{service}_url" for service in SERVICES),
    *("gateway_stream_url", "traces_endpoint", "traces_sample"),
)
"""Fields that the chart sets by values of its own; all others may be given as they are."""


def contract() -> dict[str, Any]:
    """The whole document. `settings` are names of environment variables; a topic without `partitions` has as many as
    the values say."""
    return {
        "services": {name: _service(name) for name in SERVICES},
        "command": _settings(KafkaSettings),
        "toolbox": _settings(RebuildSettings),
        "hardStopSeconds": int(HARD_STOP_S),
        "streamPath": STREAM,
        "topics": {
            topic.name: {
                "partitions": None if topic.sized else topic.partitions,
                "config": topic_settings(topic, REPLICAS),
            }
            for topic in TOPICS.values()
        },
        "topicReplicas": REPLICAS,
        "rights": {principal: [_grant(grant) for grant in grants(principal)] for principal in PRINCIPALS},
    }


def schema(current: dict[str, Any]) -> dict[str, Any]:
    """The schema of the values with the settings that each service may be given."""
    names = {name: _free(settings_of(name)) for name in SERVICES}
    for name, free in names.items():
        current["$defs"][f"settings_{name}"]["propertyNames"]["enum"] = free
    everything = sorted(frozenset[str]().union(*names.values()))
    current["$defs"]["settings"]["propertyNames"]["enum"] = everything
    return current


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _service(name: str) -> dict[str, Any]:
    settings = settings_of(name)
    prefixes = sorted(f"/v1/{segment}" for segment, owner in SERVICE_OF.items() if owner == name)
    return {
        "ports": _ports(name, settings),
        **_settings(settings),
        "calls": {_variable(field): other for other, field in _callees(name, settings)},
        "paths": [*prefixes, f"/{CONSOLE}", f"/{DOCS}"] if name == "gateway" else prefixes,
        "s3": issubclass(settings, S3Settings),
        "internet": name in CALLS_OUT,
        "groups": {group: list(of) for group, of in GROUPS.get(name, {}).items()},
    }


def _settings(settings: type[EnvironmentSettings]) -> dict[str, Any]:
    fields = settings.model_fields
    secrets = {name: field for name, field in fields.items() if name in PASSWORDS or _is_secret(field)}
    return {
        "settings": [_variable(name) for name in sorted(fields) if name not in secrets],
        "secrets": {
            _variable(name): {"optional": name not in PASSWORDS and not field.is_required()}
            for name, field in sorted(secrets.items())
        },
    }


def _free(settings: type[EnvironmentSettings]) -> list[str]:
    own = set(_settings(settings)["settings"]) - {_variable(name) for name in OF_THE_CHART}
    return sorted(own)


def _is_secret(field: FieldInfo) -> bool:
    kind = field.annotation
    options: Iterable[Any] = get_args(kind) if isinstance(kind, types.UnionType) or get_args(kind) else (kind,)
    return any(option is SecretStr or SecretStr in get_args(option) for option in options)


def _ports(name: str, settings: type[EnvironmentSettings]) -> dict[str, int]:
    fields = settings.model_fields
    return {
        port: fields[f"{name}_{port}_port"].default
        for port in ("http", "probe", "stream")
        if f"{name}_{port}_port" in fields
    }


def _callees(name: str, settings: type[EnvironmentSettings]) -> list[tuple[str, str]]:
    return [(other, f"{other}_url") for other in SERVICES if other != name and f"{other}_url" in settings.model_fields]


def _grant(grant: Any) -> dict[str, Any]:
    return {
        "resource": grant.resource,
        "name": grant.name,
        "pattern": grant.pattern,
        "operations": list(grant.operations),
    }


def _variable(field: str) -> str:
    return PREFIX + field.upper()


if __name__ == "__main__":
    CONTRACT.write_text(as_text(contract()))
    SCHEMA.write_text(as_text(schema(json.loads(SCHEMA.read_text()))))
