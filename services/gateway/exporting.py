"""All that is kept about a contact, as one JSON document, written piece by piece: a thread may be long.

A document that ends early is no JSON: whoever reads it notices.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import orjson

from services.gateway import views
from services.gateway.channels import Channels
from services.gateway.core import ConversationState
from services.gateway.store.inbox import InboxStore
from shared.contracts.answers import ExportedFile
from shared.contracts.times import to_timestamp
from shared.runtime.clock import Clock

EVENTS_AT_ONCE = 500


class Exporting:
    def __init__(self, inbox: InboxStore, channels: Channels, clock: Clock) -> None:
        self._inbox = inbox
        self._channels = channels
        self._clock = clock

    async def document(self, state: ConversationState) -> AsyncIterator[bytes]:
        """Of a contact that is there. The form: `shared.contracts.answers.Export`."""
        files: dict[str, ExportedFile] = {}
        yield self._head(state)[:-1] + b',"events":['
        separator = b""
        async for event in self._events(state):
            files |= {file.media_id: file for file in _files(event)}
            yield separator + orjson.dumps(event)
            separator = b","
        listed = orjson.dumps([file.model_dump(mode="json") for file in files.values()])
        yield b'],"files":' + listed + b"}"

    def _head(self, state: ConversationState) -> bytes:
        assert state.contact is not None
        opened = views.conversation(state, self._channels).model_dump(mode="json") if state.status else None
        head = {
            "workspace": state.workspace,
            "exported_at": to_timestamp(self._clock.now()),
            "contact": state.contact.model_dump(mode="json"),
            "conversation": opened,
        }
        return orjson.dumps(head)

    async def _events(self, state: ConversationState) -> AsyncIterator[Mapping[str, Any]]:
        after = 0
        while after < state.seq:
            page = await self._inbox.thread_onwards(state.workspace, state.id, after, state.seq, EVENTS_AT_ONCE)
            if not page:
                return
            for event in page:
                yield event
            after = page[-1]["seq"]


def _files(event: Mapping[str, Any]) -> Iterator[ExportedFile]:
    """What can be downloaded of the message, if the event has one."""
    for one in event["data"].get("message", {}).get("attachments", ()):
        if one["status"] == "ready":
            yield ExportedFile(
                media_id=one["media_id"],
                filename=one["filename"],
                content_type=one["content_type"],
                size=one["size"],
                content=f"/v1/media/{one['media_id']}/content",
            )
