"""What each route answers: the form of its success, and the codes of its problems. OpenAPI documents are made of it.

Codes that every route of a kind has (no token, a body that cannot be read, a part that is away) are added by rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from shared.contracts.capabilities import Capabilities
from shared.contracts.errors import ERRORS
from shared.contracts.events import CloudEvent
from shared.contracts.resources import (
    BotSettings,
    Contact,
    Conversation,
    LibraryFile,
    Media,
    Member,
    Message,
    Snippet,
)
from shared.contracts.routes import Route
from shared.contracts.times import Timestamp

T = TypeVar("T")
Form = type[BaseModel]


class Answered(BaseModel):
    """Base of what only answers have; resources are in `shared.contracts.resources`."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Page(Answered, Generic[T]):
    """`next` goes into `after` (threads: `before`) of the next request; null: there is no more."""

    items: list[T]
    next: str | None


class Inbox(Page[Conversation]):
    """`stream_cursor`: the stream from there has everything that is newer than this list."""

    stream_cursor: str


class Thread(Answered):
    """Ascending `seq`; `seq`: how far the conversation is known."""

    items: list[CloudEvent]
    next: int | None
    seq: int


class Snippets(Page[Snippet]):
    total: int


class Theme(Answered):
    theme: str
    count: int


class Variable(Answered):
    name: str
    value: str | None
    status: Literal["ok", "missing"]


class Rendering(Answered):
    text: str
    variables: list[Variable]
    contact_version: int


class Fault(BaseModel):
    """One of many faults: where, which, why."""

    model_config = ConfigDict(extra="allow")


class Imported(Answered):
    rows: int
    added: int
    updated: int
    unchanged: int
    errors: list[Fault]


class Counters(Answered):
    open: int
    unassigned: int
    mine: int
    unread: int
    needs_human: int


class ExportedFile(Answered):
    """`content`: where it can be downloaded, with the same token."""

    media_id: str
    filename: str | None
    content_type: str | None
    size: int | None
    content: str


class Export(Answered):
    """All that is kept about a contact. `events`: the whole thread with notes, as on the stream, in ascending `seq`."""

    workspace: str
    exported_at: Timestamp
    contact: Contact
    conversation: Conversation | None
    events: list[CloudEvent]
    files: list[ExportedFile]


class StreamTicket(Answered):
    ticket: str
    url: str
    expires_at: Timestamp


class Pending(Answered):
    """Not decided within 5 s: ask `Location`, or repeat with the same key."""

    id: str
    status: Literal["pending"]


class Outcome(Answered):
    """`result`: what it made, the conversation where it made nothing; `problem`: why it was refused."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: str
    status: Literal["pending", "accepted", "rejected"]
    result: dict[str, Any] = {}
    problem: dict[str, Any] = {}


class Me(Member):
    workspace: str


class ShownChannel(Answered):
    """Agents get neither `settings` nor `bot`."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: str
    kind: str
    name: str
    capabilities: Capabilities
    settings: dict[str, Any] = {}
    bot: BotSettings | None = None


class ChannelWithSecret(ShownChannel):
    """`secret` is shown this once."""

    secret: str


class TakenIn(Answered):
    """`ids`: of the records that stand for the events."""

    accepted: int
    ids: list[str]


class Delivery(Answered):
    """`attempt`: how many have begun; `next_at`: the next one's time; `error`: how it failed, or the latest trouble."""

    id: str
    conversation_id: str
    channel_id: str
    state: Literal["waiting", "attempting", "sent", "failed", "unknown"]
    attempt: int
    next_at: Timestamp | None
    queued_at: Timestamp
    ended_at: Timestamp | None
    provider_message_id: str | None
    error: str | None


class How(Answered):
    """How to upload: this request, with these headers."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]


class UploadTicket(Answered):
    media_id: str
    upload: How
    expires_at: Timestamp


class FileUploadTicket(UploadTicket):
    id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`form`: None where there is no JSON: `media_type` then, or no content. `also`: further successes, by status."""

    status: int
    form: Form | None
    problems: str = ""
    media_type: str = "application/json"
    also: tuple[tuple[int, Form], ...] = ()


COMMAND = "NOT_FOUND INVALID KEY_REUSED EXPIRED CONFLICT LAGGING"
REPLY = (
    f"{COMMAND} BOT_ACTIVE STALE_VIEW MEDIA_NOT_READY MEDIA_REJECTED MISSING_VALUE TEXT_TOO_LONG MEDIA_NOT_SUPPORTED"
)
REPLY += " MEDIA_TOO_LARGE UNKNOWN_MEDIA UNKNOWN_VARIABLE BAD_GATEWAY"
CHANNEL = "INVALID UNKNOWN_KIND URL_NOT_ALLOWED CONFLICT TOO_MANY_REQUESTS"
UPLOAD = "TYPE_NOT_ALLOWED BAD_FILENAME FILE_TOO_LARGE QUOTA_EXCEEDED"
COMPLETE = "NOT_FOUND UPLOAD_EXPIRED ALREADY_COMPLETE NOT_UPLOADED MEDIA_REJECTED"
CONTENT = "NOT_FOUND MEDIA_REJECTED MEDIA_NOT_READY"
PENDING = ((202, Pending),)
_C = "/v1/conversations/{conversation_id}"

ANSWERS: Mapping[str, Answer] = {
    "GET /v1/inbound/{channel_id}": Answer(200, None, "NOT_FOUND METHOD_NOT_ALLOWED", "text/plain"),
    "POST /v1/inbound/{channel_id}": Answer(
        202, TakenIn, "NOT_FOUND MALFORMED TOO_LARGE BAD_SIGNATURE BODY_TOO_LARGE TOO_MANY_REQUESTS"
    ),
    "GET /v1/channels": Answer(200, Page[ShownChannel], "BAD_CURSOR"),
    "POST /v1/channels": Answer(201, ChannelWithSecret, CHANNEL),
    "GET /v1/channels/{channel_id}": Answer(200, ShownChannel, "NOT_FOUND"),
    "PATCH /v1/channels/{channel_id}": Answer(200, ShownChannel, f"NOT_FOUND {CHANNEL}"),
    "DELETE /v1/channels/{channel_id}": Answer(204, None, "NOT_FOUND DELIVERIES_OPEN CONFLICT TOO_MANY_REQUESTS"),
    "POST /v1/channels/{channel_id}/secret": Answer(200, ChannelWithSecret, "NOT_FOUND CONFLICT TOO_MANY_REQUESTS"),
    "POST /v1/stream/ticket": Answer(200, StreamTicket),
    "GET /v1/events": Answer(200, None, media_type="text/event-stream"),
    "GET /v1/me": Answer(200, Me),
    "GET /v1/members": Answer(200, Page[Member]),
    "PUT /v1/members/{member_id}": Answer(200, Member, "NOT_FOUND CONFLICT", also=((201, Member),)),
    "GET /v1/conversations": Answer(200, Inbox, "BAD_CURSOR LAGGING"),
    f"GET {_C}": Answer(200, Conversation, "NOT_FOUND LAGGING"),
    f"GET {_C}/messages": Answer(200, Thread, "NOT_FOUND LAGGING"),
    f"POST {_C}/messages": Answer(201, Message, REPLY, also=PENDING),
    f"POST {_C}/notes": Answer(201, Message, COMMAND, also=PENDING),
    f"POST {_C}/assignment": Answer(200, Conversation, f"{COMMAND} UNKNOWN_MEMBER", also=PENDING),
    f"POST {_C}/bot": Answer(200, Conversation, f"{COMMAND} NO_BOT", also=PENDING),
    f"POST {_C}/close": Answer(200, Conversation, COMMAND, also=PENDING),
    f"POST {_C}/reopen": Answer(200, Conversation, COMMAND, also=PENDING),
    f"POST {_C}/read": Answer(200, Conversation, "NOT_FOUND LAGGING"),
    "GET /v1/contacts/{contact_id}": Answer(200, Contact, "NOT_FOUND LAGGING"),
    "PATCH /v1/contacts/{contact_id}": Answer(200, Contact, COMMAND, also=PENDING),
    "DELETE /v1/contacts/{contact_id}": Answer(204, None, COMMAND, also=PENDING),
    "GET /v1/contacts/{contact_id}/export": Answer(200, Export, "NOT_FOUND LAGGING"),
    "GET /v1/counters": Answer(200, Counters),
    "GET /v1/commands/{command_id}": Answer(200, Outcome, "NOT_FOUND"),
    "GET /v1/deliveries": Answer(200, Page[Delivery], "BAD_CURSOR"),
    "POST /v1/deliveries/{delivery_id}/retry": Answer(200, Delivery, "NOT_FOUND DELIVERY_ENDED DELIVERY_UNDER_WAY"),
    "POST /v1/deliveries/{delivery_id}/cancel": Answer(200, Delivery, "NOT_FOUND DELIVERY_ENDED DELIVERY_UNDER_WAY"),
    "GET /v1/snippets": Answer(200, Snippets, "BAD_CURSOR"),
    "POST /v1/snippets": Answer(201, Snippet, "LIMIT_REACHED NAME_TAKEN UNKNOWN_VARIABLE"),
    "GET /v1/snippets/themes": Answer(200, Page[Theme]),
    "GET /v1/snippets/export": Answer(200, None, media_type="text/csv"),
    "POST /v1/snippets/import": Answer(
        200, Imported, "INVALID CONFLICT LIMIT_REACHED UNSUPPORTED_MEDIA_TYPE BODY_TOO_LARGE MALFORMED"
    ),
    "POST /v1/snippets/preview": Answer(200, Rendering, "NOT_FOUND UNKNOWN_VARIABLE"),
    "GET /v1/snippets/{snippet_id}": Answer(200, Snippet, "NOT_FOUND"),
    "PUT /v1/snippets/{snippet_id}": Answer(200, Snippet, "NOT_FOUND NAME_TAKEN UNKNOWN_VARIABLE PRECONDITION_FAILED"),
    "DELETE /v1/snippets/{snippet_id}": Answer(204, None, "NOT_FOUND PRECONDITION_FAILED"),
    "POST /v1/snippets/{snippet_id}/render": Answer(200, Rendering, "NOT_FOUND MISSING_VALUE UNKNOWN_VARIABLE"),
    "POST /v1/media": Answer(201, UploadTicket, f"NOT_FOUND {UPLOAD}"),
    "POST /v1/media/{media_id}/complete": Answer(202, Media, COMPLETE),
    "DELETE /v1/media/{media_id}": Answer(204, None, "NOT_FOUND ALREADY_SENT CONFLICT"),
    "GET /v1/media/{media_id}": Answer(200, Media, "NOT_FOUND"),
    "GET /v1/media/{media_id}/content": Answer(302, None, CONTENT),
    "GET /v1/files": Answer(200, Page[LibraryFile], "BAD_CURSOR"),
    "POST /v1/files": Answer(201, FileUploadTicket, UPLOAD),
    "GET /v1/files/{file_id}": Answer(200, LibraryFile, "NOT_FOUND"),
    "PATCH /v1/files/{file_id}": Answer(200, LibraryFile, "NOT_FOUND BAD_FILENAME PRECONDITION_FAILED"),
    "DELETE /v1/files/{file_id}": Answer(204, None, "NOT_FOUND PRECONDITION_FAILED"),
    "POST /v1/files/{file_id}/complete": Answer(202, LibraryFile, COMPLETE),
    "GET /v1/files/{file_id}/content": Answer(302, None, CONTENT),
}
"""`METHOD /path` -> its answer."""

EVERY = "UNAVAILABLE INTERNAL"
OF_MEMBERS = "UNAUTHENTICATED FORBIDDEN DEACTIVATED TOO_MANY_REQUESTS"
OF_BODIES = "MALFORMED BODY_TOO_LARGE INVALID"


def answer_of(route: Route) -> Answer:
    return ANSWERS[f"{route.method} {route.path}"]


def problems_of(route: Route, takes_body: bool, takes_parameters: bool) -> dict[int, list[str]]:
    """Status -> the codes it may come with, in the order of the table of codes."""
    codes = {*answer_of(route).problems.split(), *EVERY.split()}
    codes |= set(OF_MEMBERS.split()) if route.roles is not None else set()
    codes |= set(OF_BODIES.split()) if takes_body else set()
    codes |= {"INVALID"} if takes_parameters else set()
    found: dict[int, list[str]] = {}
    for code, row in ERRORS.items():
        if code in codes and row.status is not None:
            found.setdefault(row.status, []).append(code)
    return found
