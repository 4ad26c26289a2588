"""Every `code` a client can meet, with its HTTP status and what to do next; `docs/errors.md` is rendered from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """`status`: of the HTTP answer; None where the code appears only in events or message errors."""

    code: str
    status: int | None
    title: str
    advice: str


_ALL = (
    ErrorCode("MALFORMED", 400, "The request cannot be read", "Send valid UTF-8 JSON of the documented form."),
    ErrorCode("TOO_LARGE", 400, "An event is too large", "Keep text <= 16,384 characters, attachments <= 10, an event <= 256 KiB."),
    ErrorCode("BAD_CURSOR", 400, "The page cursor is not ours", "Start again without `after`."),
    ErrorCode("UNAUTHENTICATED", 401, "No valid token", "Send `Authorization: Bearer <token>` with a fresh token."),
    ErrorCode("BAD_SIGNATURE", 401, "The webhook signature does not verify", "Sign id.timestamp.body with the channel's secret; check the clock (5 min)."),
    ErrorCode("FORBIDDEN", 403, "Your role does not allow this", "Ask an owner or a manager of the workspace."),
    ErrorCode("DEACTIVATED", 403, "This member is deactivated", "Ask an owner or a manager of the workspace."),
    ErrorCode("NOT_FOUND", 404, "There is no such thing here", "Check the id; ids of other workspaces do not exist for you."),
    ErrorCode("METHOD_NOT_ALLOWED", 405, "This path has no such method", "See the `Allow` header."),
    ErrorCode("BOT_ACTIVE", 409, "The chatbot is answering", "Disable it first, or send with `disable_bot: true`."),
    ErrorCode("STALE_VIEW", 409, "A colleague answered meanwhile", "Read the missed messages, then send with a new `last_seen_seq`, or `force: true`."),
    ErrorCode("CONFLICT", 409, "It was changed meanwhile", "Read the current state and decide again."),
    ErrorCode("NAME_TAKEN", 409, "There is one with this name already", "Choose another name; case makes no difference."),
    ErrorCode("LIMIT_REACHED", 409, "There is no room for more", "Delete what is not used any more."),
    ErrorCode("NO_BOT", 409, "The channel has no bot", "Add one to the channel's settings first."),
    ErrorCode("EXPIRED", 409, "The command came too late", "Send it again with a new Idempotency-Key."),
    ErrorCode("MEDIA_NOT_READY", 409, "An attachment is not ready", "Wait for `media.ready`, then send again."),
    ErrorCode("MEDIA_REJECTED", 409, "The file was refused", "See its `code`; upload another one."),
    ErrorCode("NOT_UPLOADED", 409, "There is nothing at the upload's URL", "Upload the bytes first, then complete; past `expires_at` begin again."),
    ErrorCode("UPLOAD_EXPIRED", 409, "The upload was not completed in time", "Begin a new one."),
    ErrorCode("ALREADY_COMPLETE", 409, "The upload was completed before", "Read its state; what was uploaded later has no effect."),
    ErrorCode("ALREADY_SENT", 409, "It is part of a message", "What was sent stays."),
    ErrorCode("QUOTA_EXCEEDED", 409, "The workspace's storage is full", "Delete library files, or ask for a larger quota (`RELAYDESK_MEDIA_QUOTA`)."),
    ErrorCode("MISSING_VALUE", 409, "A variable has no value for this contact", "Fill in the named variables."),
    ErrorCode("DELIVERIES_OPEN", 409, "Messages are still on their way through this channel", "Wait until they are delivered, or cancel them."),
    ErrorCode("DELIVERY_ENDED", 409, "This delivery has ended", "Send the message again; an end is final."),
    ErrorCode("DELIVERY_UNDER_WAY", 409, "This delivery is being handed over right now", "Try again when the attempt is over: seconds."),
    ErrorCode("PRECONDITION_FAILED", 412, "It was changed meanwhile", "Read it again, and send the new `ETag` as `If-Match`."),
    ErrorCode("BODY_TOO_LARGE", 413, "The body is too large", "Send fewer or smaller events per request."),
    ErrorCode("FILE_TOO_LARGE", 413, "The file is larger than its type allows", "See docs/files.md for the limits."),
    ErrorCode("UNSUPPORTED_MEDIA_TYPE", 415, "The content type is not accepted", "Send `application/json`."),
    ErrorCode("INVALID", 422, "A field is not valid", "See `errors`: each names its field."),
    ErrorCode("UNKNOWN_MEMBER", 422, "There is no such active member", "Choose one of `GET /v1/members`."),
    ErrorCode("UNKNOWN_KIND", 422, "There is no such channel kind", "Choose one of the documented kinds."),
    ErrorCode("URL_NOT_ALLOWED", 422, "This URL may not be called", "Use https and a public address."),
    ErrorCode("UNKNOWN_VARIABLE", 422, "There is no such variable", "See docs/snippets.md for the names; `errors` says where it stands."),
    ErrorCode("TEXT_TOO_LONG", 422, "The channel carries no text of this length", "Shorten it to `limit` characters, or send it in parts."),
    ErrorCode("MEDIA_NOT_SUPPORTED", 422, "The channel carries no attachments of this kind", "Send one of `allowed`, or a link."),
    ErrorCode("MEDIA_TOO_LARGE", 422, "The attachment is larger than the channel carries", "Make it smaller than `limit` bytes, or send a link."),
    ErrorCode("UNKNOWN_MEDIA", 422, "There is no such media", "Upload it first, then send its `media_id`."),
    ErrorCode("BAD_FILENAME", 422, "The file name could mislead or break something", "Use a plain name: no path, no control or direction characters."),
    ErrorCode("TYPE_NOT_ALLOWED", 422, "Files of this content type are not kept", "See docs/files.md for the types."),
    ErrorCode("KEY_REUSED", 422, "This Idempotency-Key was used with another body", "Use a new key for a new request."),
    ErrorCode("TOO_MANY_REQUESTS", 429, "Too many requests", "Wait as long as `Retry-After` says."),
    ErrorCode("INTERNAL", 500, "A fault of ours", "Try again with the same id or key; the fault is logged under `request_id`."),
    ErrorCode("BAD_GATEWAY", 502, "A service answered nonsense", "Try again with the same id or key."),
    ErrorCode("UNAVAILABLE", 503, "Result unknown: a part is not reachable", "Retry with the same id or key: it is safe."),
    ErrorCode("LAGGING", 503, "The read model has not caught up yet", "Try again in a moment."),
    ErrorCode("ALREADY_SO", None, "Nothing had to change", "Nothing."),
    ErrorCode("REPEATED", None, "This command was decided before", "Its first outcome is attached."),
    ErrorCode("BOT_DISABLED", None, "A bot's answer came after the bot was disabled", "Nothing: it was dropped."),
    ErrorCode("STALE_EPOCH", None, "A bot's answer belongs to an earlier enabling", "Nothing: it was dropped."),
    ErrorCode("BOT_SILENCED", None, "A bot's message was fenced before it was handed over", "Nothing: a person has taken over."),
    ErrorCode("CHANNEL_GONE", None, "The channel no longer exists", "Answer through another channel."),
    ErrorCode("ADAPTER_REFUSED", None, "The channel adapter refused the message", "See the adapter's answer in `error`."),
    ErrorCode("DELIVERY_EXPIRED", None, "Not delivered within 24 h", "Check the adapter, then send again."),
    ErrorCode("CANCELLED", None, "A member cancelled the delivery", "Nothing: no attempt follows. An earlier one without an answer may have arrived."),
    ErrorCode("CONTACT_ERASED", None, "The contact was erased", "Nothing: what was still under way for them has ended, files of theirs are gone."),
    ErrorCode("RESULT_UNKNOWN", None, "The hand-over was interrupted", "Check with the channel whether it arrived before sending again."),
    ErrorCode("MEDIA_EXPIRED", None, "A draft was not sent within 24 h", "Record or upload it again."),
    ErrorCode("DISCARDED", None, "A member discarded it", "Nothing."),
    ErrorCode("SIZE_MISMATCH", None, "The upload has another size than was declared", "Declare the size of the very bytes that you upload."),
    ErrorCode("TYPE_MISMATCH", None, "The content is not of the declared type", "Declare what the file really is."),
    ErrorCode("UNREADABLE", None, "The file cannot be decoded: damaged or cut off", "Check that it opens, then upload it again."),
    ErrorCode("TOO_LONG", None, "The recording is longer than 5 minutes, or a file plays for hours", "Record it in parts."),
    ErrorCode("TOO_COMPLEX", None, "Decoding it takes more than is allowed", "Make it smaller: fewer pixels, a shorter recording."),
    ErrorCode("UNSAFE_ARCHIVE", None, "The archive unpacks to too much, or outside of its folder", "Pack only the files themselves."),
    ErrorCode("FETCH_REFUSED", None, "The channel's side would not give out the file", "Ask the customer to send it again; adapters: the URL must answer 200 without a token."),
    ErrorCode("FETCH_EXPIRED", None, "The channel's side did not give out the file for 24 h", "Ask the customer to send it again; check the adapter's file server."),
    ErrorCode("FOREIGN", None, "The record names something of another channel", "Check the adapter's ids."),
)  # fmt: skip

ERRORS: Mapping[str, ErrorCode] = {row.code: row for row in _ALL}

_HEADER = """# Error codes

Errors of the HTTP APIs are `application/problem+json` (RFC 9457) with a stable `code`. Codes without a status appear in
events and in the `error` of a message. Written by `python -m shared.contracts.errors`; do not edit.

| code | status | means | what to do |
|---|---|---|---|
"""


def as_markdown() -> str:
    """The page `docs/errors.md`."""
    return _HEADER + "".join(f"| `{e.code}` | {e.status or ''} | {e.title} | {e.advice} |\n" for e in _ALL)


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "errors.md").write_text(as_markdown())
