"""The route table: one origin in front of all services; the path decides. Ingress and development proxy read it."""

from collections.abc import Mapping
from dataclasses import dataclass

EVERYBODY = frozenset({"owner", "manager", "agent"})
WRITERS = frozenset({"owner", "manager"})


@dataclass(frozen=True, slots=True)
class Route:
    """`roles` None: no bearer token; the route authenticates by its own means (a signature, a ticket)."""

    method: str
    path: str
    service: str
    roles: frozenset[str] | None
    summary: str


def _conversation(tail: str) -> str:
    return "/v1/conversations/{conversation_id}" + tail


ROUTES = (
    Route("GET", "/v1/inbound/{channel_id}", "ingest", None, "Answer a provider's challenge"),
    Route("POST", "/v1/inbound/{channel_id}", "ingest", None, "Take a provider's or adapter's signed events"),
    Route("GET", "/v1/channels", "ingest", EVERYBODY, "List channels (agents: id, kind, name, capabilities)"),
    Route("POST", "/v1/channels", "ingest", WRITERS, "Add a channel; answers its secret once"),
    Route("GET", "/v1/channels/{channel_id}", "ingest", WRITERS, "Read a channel"),
    Route("PATCH", "/v1/channels/{channel_id}", "ingest", WRITERS, "Merge changes into a channel"),
    Route("DELETE", "/v1/channels/{channel_id}", "ingest", WRITERS, "Delete a channel without open deliveries"),
    Route("POST", "/v1/channels/{channel_id}/secret", "ingest", WRITERS, "Rotate the secret; the old one lasts 24 h"),
    Route("POST", "/v1/stream/ticket", "gateway", EVERYBODY, "A single-use ticket for the stream, 30 s"),
    Route("GET", "/v1/events", "gateway", EVERYBODY, "The live stream as server-sent events"),
    Route("GET", "/v1/me", "gateway", EVERYBODY, "The member behind the token"),
    Route("GET", "/v1/members", "gateway", EVERYBODY, "List members"),
    Route("PUT", "/v1/members/{member_id}", "gateway", WRITERS, "Set a member's role, name, or deactivate"),
    Route("GET", "/v1/conversations", "gateway", EVERYBODY, "List conversations, newest activity first"),
    Route("GET", _conversation(""), "gateway", EVERYBODY, "Read a conversation"),
    Route("GET", _conversation("/messages"), "gateway", EVERYBODY, "Read a thread"),
    Route("POST", _conversation("/messages"), "gateway", EVERYBODY, "Reply to the contact"),
    Route("POST", _conversation("/notes"), "gateway", EVERYBODY, "Add an internal note"),
    Route("POST", _conversation("/assignment"), "gateway", EVERYBODY, "Assign to a member or to nobody"),
    Route("POST", _conversation("/bot"), "gateway", EVERYBODY, "Enable or disable the chatbot"),
    Route("POST", _conversation("/close"), "gateway", EVERYBODY, "Close"),
    Route("POST", _conversation("/reopen"), "gateway", EVERYBODY, "Reopen"),
    Route("POST", _conversation("/read"), "gateway", EVERYBODY, "Mark as read up to a seq"),
    Route("GET", "/v1/contacts/{contact_id}", "gateway", EVERYBODY, "Read a contact"),
    Route("PATCH", "/v1/contacts/{contact_id}", "gateway", EVERYBODY, "Change a contact's fields"),
    Route("DELETE", "/v1/contacts/{contact_id}", "gateway", WRITERS, "Erase a contact, their messages and their files"),
    Route("GET", "/v1/contacts/{contact_id}/export", "gateway", WRITERS, "All that is kept about a contact, as a file"),
    Route("GET", "/v1/counters", "gateway", EVERYBODY, "Open, unassigned, mine, unread, needs_human"),
    Route("GET", "/v1/commands/{command_id}", "gateway", EVERYBODY, "The outcome of a command of yours"),
    Route("GET", "/v1/deliveries", "dispatch", EVERYBODY, "Deliveries by state and channel"),
    Route("POST", "/v1/deliveries/{delivery_id}/retry", "dispatch", EVERYBODY, "Try a waiting delivery now"),
    Route("POST", "/v1/deliveries/{delivery_id}/cancel", "dispatch", EVERYBODY, "End a waiting delivery unsent"),
    Route("GET", "/v1/snippets", "snippets", EVERYBODY, "List or search snippets"),
    Route("POST", "/v1/snippets", "snippets", WRITERS, "Add a snippet"),
    Route("GET", "/v1/snippets/themes", "snippets", EVERYBODY, "The themes, with how many snippets each has"),
    Route("GET", "/v1/snippets/export", "snippets", EVERYBODY, "All snippets as CSV"),
    Route("POST", "/v1/snippets/import", "snippets", WRITERS, "Take a CSV file of snippets, all or nothing"),
    Route("POST", "/v1/snippets/preview", "snippets", EVERYBODY, "Render an unsaved text for a contact"),
    Route("GET", "/v1/snippets/{snippet_id}", "snippets", EVERYBODY, "Read a snippet"),
    Route("PUT", "/v1/snippets/{snippet_id}", "snippets", WRITERS, "Change a snippet (`If-Match`)"),
    Route("DELETE", "/v1/snippets/{snippet_id}", "snippets", WRITERS, "Delete a snippet"),
    Route("POST", "/v1/snippets/{snippet_id}/render", "snippets", EVERYBODY, "Render a snippet for a contact"),
    Route("POST", "/v1/media", "media", EVERYBODY, "Begin the upload of a recording or an attachment for a reply"),
    Route("POST", "/v1/media/{media_id}/complete", "media", EVERYBODY, "The upload is done: check it"),
    Route("DELETE", "/v1/media/{media_id}", "media", EVERYBODY, "Discard a draft of yours"),
    Route("GET", "/v1/media/{media_id}", "media", EVERYBODY, "Read what became of a media"),
    Route("GET", "/v1/media/{media_id}/content", "media", EVERYBODY, "A signed URL to download it, 5 min"),
    Route("GET", "/v1/files", "media", EVERYBODY, "List or search the file library"),
    Route("POST", "/v1/files", "media", WRITERS, "Begin the upload of a library file"),
    Route("GET", "/v1/files/{file_id}", "media", EVERYBODY, "Read a library file's data"),
    Route("PATCH", "/v1/files/{file_id}", "media", WRITERS, "Rename or describe a library file (`If-Match`)"),
    Route("DELETE", "/v1/files/{file_id}", "media", WRITERS, "Delete a library file; sent messages keep it"),
    Route("POST", "/v1/files/{file_id}/complete", "media", WRITERS, "The upload is done: check it"),
    Route("GET", "/v1/files/{file_id}/content", "media", EVERYBODY, "A signed URL to download it, 5 min"),
)

SERVICE_OF: Mapping[str, str] = {
    "inbound": "ingest",
    "channels": "ingest",
    "deliveries": "dispatch",
    "stream": "gateway",
    "events": "gateway",
    "me": "gateway",
    "members": "gateway",
    "conversations": "gateway",
    "contacts": "gateway",
    "counters": "gateway",
    "commands": "gateway",
    "snippets": "snippets",
    "media": "media",
    "files": "media",
}
"""The first segment after `/v1` -> the service that owns it."""

CONSOLE, DOCS = "console", "docs"
"""The first segments of the gateway's pages."""

STREAM = "/v1/stream"
"""The WebSocket's path, which the gateway serves on a port of its own; its tickets are HTTP."""


def service_for(path: str) -> str | None:
    """The service that owns a path, by its first segment after `/v1`; all pages are the gateway's."""
    parts = path.split("/")
    if len(parts) > 1 and parts[1] in (CONSOLE, DOCS):
        return "gateway"
    return SERVICE_OF.get(parts[2]) if len(parts) > 2 and parts[1] == "v1" else None


_BY_PATH: Mapping[tuple[str, str], Route] = {(route.method, route.path): route for route in ROUTES}


def find(method: str, path: str) -> Route:
    """The declared route of a path template. KeyError where it is not declared."""
    return _BY_PATH[method, path]
