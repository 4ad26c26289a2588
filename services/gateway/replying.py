"""What may refuse a reply before it is a command: nothing to say, unknown media, a snippet without its values."""

from dataclasses import dataclass
from datetime import timedelta

from services.gateway.attaching import Attaching
from services.gateway.bodies import ReplyBody
from services.gateway.channels import Channels
from services.gateway.commanding import Stamp
from services.gateway.core import ConversationState
from services.gateway.ports import Snippets
from shared.contracts.commands import SendReply
from shared.contracts.shape import MAX_TEXT
from shared.contracts.times import to_timestamp
from shared.runtime.auth import Principal
from shared.runtime.problems import Problem

EXPIRES = timedelta(hours=24)
"""A reply that could not be decided for so long is refused instead of sent late."""


@dataclass(frozen=True, slots=True)
class Replying:
    snippets: Snippets
    attaching: Attaching
    channels: Channels

    async def command(
        self, member: Principal, conversation: ConversationState, body: ReplyBody, stamp: Stamp
    ) -> SendReply:
        """Problem 422, 404, 409 or 503: nothing was taken."""
        carried = self.channels.capabilities(conversation.workspace, conversation.channel_id)
        attachments = await self.attaching.attachments(member, body.attachments, carried)
        text = await self._text(member, conversation, body)
        if text is not None and len(text) > carried.text_limit:
            raise _too_long(carried.text_limit)
        return SendReply(
            **stamp.fields(),
            expires_at=to_timestamp(stamp.accepted_at + EXPIRES),
            text=text,
            attachments=attachments,
            snippet_id=body.snippet_id,
            last_seen_seq=body.last_seen_seq,
            force=body.force,
            disable_bot=body.disable_bot,
        )

    async def _text(self, member: Principal, conversation: ConversationState, body: ReplyBody) -> str | None:
        """Rendered once: the text becomes part of the command, which a repeat finds under its key."""
        if body.snippet_id is None:
            if (body.text or "").strip():
                return body.text
            if not body.attachments:
                raise _invalid("text", "A reply needs text, attachments or a snippet.")
            return None
        if body.text is not None:
            raise _invalid("text", "A reply has text or a snippet, not both.")
        assert conversation.contact is not None
        text = await self.snippets.render(member, body.snippet_id, conversation.contact.id)
        if len(text) > MAX_TEXT:
            raise _invalid("snippet_id", f"The snippet's text is longer than {MAX_TEXT:,} characters for this contact.")
        return text


def _too_long(limit: int) -> Problem:
    detail = f"This channel carries at most {limit:,} characters."
    fault = {"field": "text", "code": "TEXT_TOO_LONG", "detail": detail}
    return Problem(422, "TEXT_TOO_LONG", detail, limit=limit, errors=[fault])


def _invalid(field: str, detail: str) -> Problem:
    return Problem(422, "INVALID", detail, errors=[{"field": field, "code": "INVALID", "detail": detail}])
