"""The demo workspace: members and two channels, made through the public API alone and remembered in DATA/demo.json."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relaydesk.errors import CommandError
from relaydesk.installation import Secrets, write_whole
from relaydesk.tokens import Person, mint

WORKSPACE = "demo"
MEMBERS = {
    "owner": Person("olivia", "Olivia Owen", "owner", WORKSPACE),
    "manager": Person("marco", "Marco Manzoni", "manager", WORKSPACE),
    "agent": Person("ada", "Ada Adler", "agent", WORKSPACE),
    "agent2": Person("ben", "Ben Baker", "agent", WORKSPACE),
    "stranger": Person("sam", "Sam Stranger", "agent", "other"),
}
TIMEOUT_S = 30.0
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class DemoChannel:
    """A channel of kind `webhook`. The secret is told only once, when the channel is made."""

    id: str
    secret: str = field(repr=False)
    outbound_url: str | None


@dataclass(frozen=True, slots=True)
class ChatAddresses:
    """What the web chat's channel calls: where the chat takes answers, and its bot, if there is one."""

    deliveries: str
    bot: str | None

    def settings(self) -> dict[str, Any]:
        """As the channel's settings say it."""
        bot = None if self.bot is None else {"kind": "webhook", "settings": {"url": self.bot}}
        return {"settings": {"outbound_url": self.deliveries}, "bot": bot}


@dataclass(frozen=True, slots=True)
class Demo:
    """`bot`: the address of the web chat's bot; the plain channel has none."""

    tokens: dict[str, str] = field(repr=False)
    webchat: DemoChannel
    plain: DemoChannel
    bot: str | None

    @property
    def members(self) -> dict[str, str]:
        """Who -> member id."""
        return {who: person.member_id for who, person in MEMBERS.items()}


def prepare(api: str, data: Path, secrets: Secrets, chat: ChatAddresses) -> Demo:
    """Sign every member in and find or make the channels; `chat` is what the web chat's channel has to call.

    May be repeated: what an earlier run made is used again. Raises CommandError when the API refuses.
    """
    tokens = {who: mint(secrets.jwt_private, person) for who, person in MEMBERS.items()}
    for token in tokens.values():
        _call("GET", f"{api}/v1/me", token)
    channels = _Channels(f"{api}/v1/channels", tokens["owner"], data / "demo.json")
    webchat = channels.ensure("webchat", "Web chat", chat.settings())
    return Demo(tokens, webchat, channels.ensure("plain", "Demo channel", {}), chat.bot)


class _Channels:
    def __init__(self, url: str, token: str, file: Path) -> None:
        self._url = url
        self._token = token
        self._file = file

    def ensure(self, key: str, name: str, wanted: Mapping[str, Any]) -> DemoChannel:
        """The remembered channel if it still exists, else a new one; what `wanted` doesn't name stays as it is."""
        known = self._read().get(key)
        found = _call("GET", f"{self._url}/{known['id']}", self._token, missing=None) if known else None
        if known is None or found is None:
            return self._create(key, name, wanted)
        if _differs(found, wanted):
            found = _call("PATCH", f"{self._url}/{known['id']}", self._token, wanted)
        return DemoChannel(known["id"], known["secret"], found["settings"].get("outbound_url"))

    def _create(self, key: str, name: str, wanted: Mapping[str, Any]) -> DemoChannel:
        made = _call("POST", self._url, self._token, {"kind": "webhook", "name": name, **wanted})
        channel = DemoChannel(made["id"], made["secret"], made["settings"].get("outbound_url"))
        write_whole(self._file, json.dumps({**self._read(), key: asdict(channel)}, indent=2))
        return channel

    def _read(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return known


def _differs(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    settings = {**found["settings"], **wanted.get("settings", {})}
    return bool({**found, **wanted, "settings": settings} != found)


_RAISE: Any = object()


def _call(method: str, url: str, token: str, body: object = None, missing: Any = _RAISE) -> Any:
    """The parsed answer; `missing` for a 404 if given. Raises CommandError for other refusals."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == NOT_FOUND and missing is not _RAISE:
                return missing
            raise CommandError(f"demo workspace: {method} {url} -> {error.code} {error.read(500)!r}") from error
    except OSError as error:
        raise CommandError(f"demo workspace: {method} {url}: {error}") from error
