"""Kind `webhook`: any adapter that speaks our own format (DESIGN 7), signed as Standard Webhooks says.

Specification of the signature: github.com/standard-webhooks/standard-webhooks, `spec/standard-webhooks.md`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic_core import PydanticCustomError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.ingest.channels.kind import EventFault, Kind, Refused, Unverified
from services.ingest.channels.tree import event_count, faults_in_tree
from services.ingest.core import (
    AttachmentInput,
    ContactInput,
    DeleteInput,
    EditInput,
    Input,
    MessageInput,
    OurMessage,
    ProviderMessage,
    ReceiptInput,
)
from shared.contracts.inbound import Reason, Reported, Sender
from shared.contracts.resources import AttachmentKind
from shared.contracts.shape import MAX_ATTACHMENTS, ExternalId, MessageId, Text
from shared.contracts.times import normalized

MAX_BODY = 1024 * 1024
MAX_EVENTS = 1000
MAX_EVENT_BYTES = 256 * 1024
MAX_FAULTS_NAMED = 100

_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,15}")
"""Integer Unix seconds, says the specification; the library reads any float and signs what it rounds to."""
_REQUEST_ID_LENGTH = 255
_TOO_MANY_EVENTS = EventFault("BODY_TOO_LARGE", f"more than {MAX_EVENTS} events", None, "events")

Time = Annotated[str, AfterValidator(normalized)]
FileUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]
ShortText = Annotated[str, StringConstraints(max_length=255)]


class _Wire(BaseModel):
    """Strict in values; unknown fields are ignored, so that an adapter may be newer than we are."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Attachment(_Wire):
    kind: AttachmentKind
    url: FileUrl
    content_type: ShortText | None = None
    filename: ShortText | None = None

    def input(self) -> AttachmentInput:
        return AttachmentInput(self.kind, self.url, self.content_type, self.filename)


class _Person(_Wire):
    id: ExternalId


class _Message(_Wire):
    type: Literal["message"]
    id: ExternalId
    sender: Annotated[Sender, Field(alias="from")]
    occurred_at: Time
    text: Text | None = None
    attachments: Annotated[tuple[_Attachment, ...], Field(max_length=MAX_ATTACHMENTS, fail_fast=True)] | None = None
    reply_to: Annotated[str, StringConstraints(max_length=512)] | None = None

    def model_post_init(self, _: Any) -> None:
        if not self.text and not self.attachments:
            raise PydanticCustomError("empty_message", "a message needs text or attachments")

    def input(self) -> Input:
        files = tuple(file.input() for file in self.attachments or ())
        return MessageInput(self.id, self.sender, self.occurred_at, self.text or None, files, self.reply_to)


class _Receipt(_Wire):
    type: Literal["receipt"]
    message_id: MessageId | None = None
    provider_message_id: ExternalId | None = None
    to: _Person | None = None
    status: Reported
    occurred_at: Time
    error: Reason | None = None

    def model_post_init(self, _: Any) -> None:
        if self.message_id is None and (self.provider_message_id is None or self.to is None):
            raise PydanticCustomError("unnamed_message", "needs message_id, or provider_message_id and to.id")

    def input(self) -> Input:
        return ReceiptInput(self._about(), self.status, self.occurred_at, self.error)

    def _about(self) -> OurMessage | ProviderMessage:
        if self.message_id is not None:
            return OurMessage(self.message_id)
        assert self.provider_message_id is not None and self.to is not None
        return ProviderMessage(self.provider_message_id, self.to.id)


class _Contact(_Wire):
    type: Literal["contact"]
    sender: Annotated[Sender, Field(alias="from")]

    def input(self) -> Input:
        return ContactInput(self.sender)


class _Edit(_Wire):
    type: Literal["edit"]
    id: ExternalId
    sender: Annotated[_Person, Field(alias="from")]
    text: Text | None = None

    def input(self) -> Input:
        return EditInput(self.id, self.sender.id, self.text)


class _Delete(_Wire):
    type: Literal["delete"]
    id: ExternalId
    sender: Annotated[_Person, Field(alias="from")]

    def input(self) -> Input:
        return DeleteInput(self.id, self.sender.id)


_Event = Annotated[_Message | _Receipt | _Contact | _Edit | _Delete, Field(discriminator="type")]


class _Body(_Wire):
    events: Annotated[tuple[_Event, ...], Field(max_length=MAX_EVENTS)]


class _BodyToFirstFault(_Wire):
    """The way of every good body, and of a hostile one: half a million faults are not worth listing."""

    events: Annotated[tuple[_Event, ...], Field(max_length=MAX_EVENTS, fail_fast=True)]


_BODY = TypeAdapter(_Body)
_BODY_TO_FIRST_FAULT = TypeAdapter(_BodyToFirstFault)


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str:
    """-> the `webhook-id`. Raises Unverified; Refused where the body is no UTF-8, which the signature is made over."""
    text, request_id = _utf8(body), headers.get("webhook-id", "")
    if not request_id:
        raise Unverified("webhook-id is missing")
    if len(request_id) > _REQUEST_ID_LENGTH:
        raise Unverified(f"webhook-id is longer than {_REQUEST_ID_LENGTH} characters")
    timestamp = headers.get("webhook-timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Unverified("webhook-timestamp is no whole number of seconds")
    signatures = _SIGNATURE.findall(headers.get("webhook-signature", ""))
    if not signatures:
        raise Unverified("webhook-signature has no `v1,` and 32 bytes in base64")
    signed = {"webhook-id": request_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}
    why = "no secret is valid"
    for secret in secrets:
        try:
            Webhook(secret).verify(text, signed, json_parse=False)
        except WebhookVerificationError as error:
            why = str(error)
        else:
            return request_id
    raise Unverified(why)


def parse(body: bytes) -> list[Input]:
    """The events in order. Raises Refused with the faults of all events, up to a hundred."""
    try:
        events = _BODY_TO_FIRST_FAULT.validate_json(body, extra="ignore").events
    except pydantic_core.ValidationError as error:
        raise _refused(_all_faults(body, error)) from None
    if faults := faults_in_tree(body, MAX_EVENT_BYTES):
        raise _refused(faults)
    return [event.input() for event in events]


def _all_faults(body: bytes, first: pydantic_core.ValidationError) -> list[EventFault]:
    faults = _faults(first)
    if any(fault.index is None for fault in faults) or (count := event_count(body)) is None:
        return faults
    if count > MAX_EVENTS:
        return [_TOO_MANY_EVENTS]
    try:
        _BODY.validate_json(body, extra="ignore")
    except pydantic_core.ValidationError as error:
        return _faults(error)
    return faults


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        fault = EventFault("MALFORMED", f"not UTF-8 at byte {error.start}")
        raise Refused(400, "MALFORMED", [fault]) from None


def _faults(error: pydantic_core.ValidationError) -> list[EventFault]:
    return [_fault(found) for found in error.errors(include_url=False, include_input=False)]


def _fault(found: pydantic_core.ErrorDetails) -> EventFault:
    """pydantic's place is ("events", index, type, field …); the type is left out, it is the discriminator's."""
    place = found["loc"]
    index = place[1] if len(place) > 1 and isinstance(place[1], int) else None
    field = ".".join(str(part) for part in (place if index is None else place[3:]))
    if place == ("events",) and found["type"] == "too_long":
        return _TOO_MANY_EVENTS
    too_large = (found["type"], place[3:]) in (("string_too_long", ("text",)), ("too_long", ("attachments",)))
    return EventFault("TOO_LARGE" if too_large else "MALFORMED", found["msg"], index, field)


def _refused(faults: Sequence[EventFault]) -> Refused:
    codes = {fault.code for fault in faults}
    if "BODY_TOO_LARGE" in codes:
        return Refused(413, "BODY_TOO_LARGE", faults[:MAX_FAULTS_NAMED])
    code = "TOO_LARGE" if codes == {"TOO_LARGE"} else "MALFORMED"
    return Refused(400, code, faults[:MAX_FAULTS_NAMED])


KIND = Kind("webhook", MAX_BODY, verify, parse, ("outbound_url",))
