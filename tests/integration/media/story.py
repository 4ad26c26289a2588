"""A conversation, and what happens to media of it: its drafts, what came with its messages, its erasure."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.media.core import Media
from services.media.uploading import Announced, Upload
from shared.contracts import topics
from shared.contracts.ids import message_id
from shared.contracts.inbound import InboundAttachment
from shared.contracts.outbound import EraseConversation, FetchMedia, MediaRecord, MediaReferenced
from shared.contracts.times import to_timestamp
from shared.contracts.wire import decode_as
from shared.runtime.auth import Principal
from shared.testing.uploads import fetch
from tests.integration.media.installation import Installation, Parts, unique
from tests.integration.media.records import batch
from tests.unit.media.files import png

PICTURE, OTHER = png(64), png(65)
SEEN = 10
"""How far a conversation is when its drafts are begun."""


@dataclass
class Thread:
    """A conversation by its ids, and what routing asks of media about it."""

    workspace: str
    conversation: str

    def erasure(self, up_to_seq: int = SEEN) -> EraseConversation:
        return EraseConversation(workspace=self.workspace, conversation_id=self.conversation, up_to_seq=up_to_seq)

    def file_of(self, seq: int, url: str = "http://127.0.0.1:9/passport.png") -> FetchMedia:
        file = {"media_id": str(uuid.uuid4()), "kind": "image", "url": url, "filename": "passport.png"}
        return FetchMedia(
            workspace=self.workspace,
            channel_id="c",
            conversation_id=self.conversation,
            message_id=message_id(self.conversation, seq),
            attachment=InboundAttachment.model_validate(file),
            requested_at=to_timestamp(datetime.now(UTC)),
        )

    def sent(self, media: str, seq: int) -> MediaReferenced:
        return MediaReferenced(
            workspace=self.workspace,
            conversation_id=self.conversation,
            message_id=message_id(self.conversation, seq),
            media_id=media,
        )


class Story(Thread):
    """The same with a database of its own."""

    def __init__(self, installation: Installation, parts: Parts, workspace: str | None = None) -> None:
        workspace = workspace or unique()
        super().__init__(workspace, installation.conversation(workspace, SEEN))
        self.installation, self.parts = installation, parts
        self.jobs = parts.jobs()
        token, until = installation.token("agent", workspace), datetime.now(UTC) + timedelta(hours=1)
        self.member = Principal(workspace, "agent-1", "agent", "A", until, token)

    async def erased(self, up_to_seq: int = SEEN) -> None:
        await self.jobs.handle(batch(self.erasure(up_to_seq)))

    async def begun(self, content: bytes = PICTURE) -> Upload:
        announced = Announced("contract.png", "image/png", len(content))
        return await self.parts.uploading.begin_draft(self.member, announced, self.conversation)

    async def due(self, content: bytes = PICTURE) -> Media:
        upload = await self.begun(content)
        await fetch(upload.url, "PUT", content)
        return await self.parts.uploading.complete(self.member, upload.media)

    async def draft(self, content: bytes = PICTURE) -> Media:
        media = await self.due(content)
        assert await self.parts.worker().work()
        return await self.now(media.id)

    def elsewhere(self) -> "Story":
        """Another conversation of the workspace."""
        return Story(self.installation, self.parts, self.workspace)

    async def now(self, ident: str) -> Media:
        found = await self.parts.store.whatever(self.workspace, ident)
        assert found is not None
        return found

    async def is_erased(self, ident: str) -> bool:
        """As a document, all of it."""
        row = await self.parts.mongo.db.media.find_one({"id": ident})
        assert row is not None
        media = await self.now(ident)
        kept = [row[name] for name in ("filename", "content_type", "size", "duration_s", "waveform")]
        return media.erased and not any(kept) and not {"job", "fetch", "upload"} & row.keys() and not media.renditions


async def records(installation: Installation, ident: str) -> list[MediaRecord]:
    found = [one for one in await installation.read(topics.MEDIA) if one.key == ident.encode()]
    return [decode_as(MediaRecord, one.value) for one in found if one.value is not None]
