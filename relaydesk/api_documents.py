"""The API as documents: `python -m relaydesk.api_documents` writes docs/api: openapi.json, asyncapi.json, and a page.

OpenAPI 3.1 of all services as one, as they stand behind one address; AsyncAPI 3 of the topics and of the live stream.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict

from relaydesk import api_page
from relaydesk.installation import fresh_secrets
from relaydesk.services import SERVICES, builder_of, settings_of
from shared.contracts import schema_files
from shared.contracts.events import EVENT_TYPES
from shared.contracts.routes import ROUTES, STREAM
from shared.contracts.topics import TOPICS, Topic
from shared.runtime.settings import Settings
from shared.version import VERSION

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "api"
OPENAPI, ASYNCAPI = FOLDER / "openapi.json", FOLDER / "asyncapi.json"
SUMMARY = "Conversational support: channels, one inbox, voice, chatbots."
REF = "#/components/schemas/"
METHODS_IN_ORDER = {f"{route.method} {route.path}": number for number, route in enumerate(ROUTES)}

Document = dict[str, Any]


def openapi() -> Document:
    """The documents of all services as one. Raises ValueError where two of them give one name to different things."""
    documents = asyncio.run(_of_services())
    merged: Document = {
        "openapi": "3.1.0",
        "info": {"title": "Relaydesk", "version": VERSION, "summary": SUMMARY},
        "servers": [{"url": "/"}],
        "tags": [{"name": service} for service in documents],
        "paths": {},
        "components": {"schemas": {}, "securitySchemes": {}},
    }
    for document in documents.values():
        for path, operations in document.get("paths", {}).items():
            merged["paths"].setdefault(path, {}).update(operations)
        for kind, named in document["components"].items():
            for name, value in named.items():
                if merged["components"][kind].setdefault(name, value) != value:
                    raise ValueError(f"two services call different things {name}")
    merged["paths"] = dict(sorted(merged["paths"].items(), key=lambda item: _place(*item)))
    return merged


def _place(path: str, operations: Document) -> int:
    return min(METHODS_IN_ORDER[f"{method.upper()} {path}"] for method in operations)


async def _of_services() -> dict[str, Document]:
    """Built as they run, connected to nothing."""
    found: dict[str, Document] = {}
    for name in SERVICES:
        app = builder_of(name)(_settings(settings_of(name))).http
        assert isinstance(app, FastAPI)
        if document := app.openapi():
            found[name] = document
    return found


def _settings(kind: type[Settings]) -> Settings:
    class Given(kind):  # type: ignore[valid-type, misc]
        """Of these values alone, whatever the environment says."""

        model_config = SettingsConfigDict(env_prefix="NOBODY_SETS_")

    given = {name.removeprefix("RELAYDESK_").lower(): value for name, value in fresh_secrets().items()}
    given |= {"s3_access_key": "-", "s3_secret_key": "-", "jwt_jwks_url": "http://127.0.0.1:9/"}
    return Given(**{name: value for name, value in given.items() if name in kind.model_fields})


def asyncapi() -> Document:
    """Topics with their records, and the live stream's frames."""
    schemas: Document = {}
    messages = {_component(name): _message(name, schema, schemas) for name, schema in schema_files.generated().items()}
    channels = {topic.name: _channel(topic) for topic in TOPICS.values()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Relaydesk", "version": VERSION, "description": SUMMARY},
        "defaultContentType": "application/json",
        "channels": channels | {"stream": _stream()},
        "operations": _operations(),
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def _component(name: str) -> str:
    return name.replace(".", "_")


def _message(name: str, schema: Document, schemas: Document) -> Document:
    """`schemas` gets the record's own and those it refers to."""
    own = json.loads(json.dumps(schema).replace("#/$defs/", REF))
    schemas.update(own.pop("$defs", {}))
    schemas[_component(name)] = own
    return {"name": name, "title": name, "payload": {"$ref": REF + _component(name)}}


def _carried(topic: Topic) -> list[str]:
    """The names of the records of a topic, as `schema_files` has them."""
    known = schema_files.models()
    if "events" in topic.carries:
        return [name for name in EVENT_TYPES if name not in _EPHEMERAL]
    return [name for name in (*topic.carries, *(f"relaydesk.{each}.v1" for each in topic.carries)) if name in known]


_EPHEMERAL = ("relaydesk.typing.v1", "relaydesk.presence.v1")


def _channel(topic: Topic) -> Document:
    kept = "the latest of each key, for ever" if topic.retention is None else str(topic.retention).partition(",")[0]
    by, to = ", ".join(topic.producers), ", ".join(topic.consumers)
    names = [_component(name) for name in _carried(topic)]
    return {
        "address": topic.name,
        "description": f"Key: {topic.key}. Written by {by}; read by {to}. Kept: {kept}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": topic.name, "partitions": topic.partitions, "bindingVersion": "0.5.0"}},
    }


def _stream() -> Document:
    return {
        "address": STREAM,
        "description": "WebSocket; its query carries `ticket` (`POST /v1/stream/ticket`) and `cursor`: docs/stream.md.",
        "messages": {"CloudEvent": {"$ref": "#/components/messages/CloudEvent"}},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operations() -> Document:
    """What an installation as a whole does with each topic: it both writes and reads it."""
    found: Document = {"follow": {"action": "send", "channel": {"$ref": "#/channels/stream"}}}
    for topic in TOPICS.values():
        name, channel = _component(topic.name), {"$ref": f"#/channels/{topic.name}"}
        found |= {f"write_{name}": {"action": "send", "channel": channel}}
        found |= {f"read_{name}": {"action": "receive", "channel": channel}}
    return found


def files() -> dict[Path, str]:
    """All that is committed, by where it stands."""
    of_http, of_topics = openapi(), asyncapi()
    documents = {OPENAPI: as_text(of_http), ASYNCAPI: as_text(of_topics)}
    return documents | {FOLDER / "index.html": api_page.page(of_http, of_topics), FOLDER / "style.css": api_page.STYLE}


def as_text(document: Document) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in files().items():
        file.write_text(text)
