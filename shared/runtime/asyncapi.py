"""The AsyncAPI 3 document of an installation: the topics with their records, and the live stream's frames."""

import json
from functools import cache
from typing import Any

from shared.contracts import schema_files
from shared.contracts.events import EVENT_TYPES
from shared.contracts.routes import STREAM
from shared.contracts.topics import TOPICS, Topic
from shared.version import VERSION

SUMMARY = "Conversational support: channels, one inbox, voice, chatbots."
REF = "#/components/schemas/"

Document = dict[str, Any]


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


@cache
def as_bytes() -> bytes:
    """As `GET /asyncapi` answers it. Made once, with the first request."""
    return json.dumps(asyncapi(), ensure_ascii=False).encode()


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
