"""How a channel may change. Pure: (channel, request) -> channel, or ChannelFault; time and secrets are handed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.ingest.channels import KINDS
from services.ingest.channels.kind import Kind
from services.ingest.requests import BotChange, ChannelChange, NewBot, NewChannel
from shared.contracts import capabilities
from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.contracts.resources import BotSettings
from shared.contracts.times import from_timestamp, to_timestamp

UrlCheck = Callable[[str], str | None]
"""None where the address may be called, else one sentence that says why not."""

ROTATED_SECRET_LASTS = timedelta(hours=24)
MAX_SECRETS = 8
BOT_URLS: Mapping[str, tuple[str, ...]] = {"webhook": ("url",)}
"""Bot kind -> its settings that are addresses; all of them are required."""


@dataclass
class ChannelFault(Exception):
    """The change is not possible; `field` is dotted."""

    code: str
    field: str
    detail: str


class SecretsExhausted(Exception):
    """Rotated so often within a day that a secret still in use would be lost; `until`: when the oldest ends."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


def created(
    request: NewChannel, ident: str, workspace: str, secret: SealedSecret, check_url: UrlCheck
) -> ChannelRecord:
    bot = None if request.bot is None else _bot(request.bot)
    channel = ChannelRecord(
        workspace=workspace,
        id=ident,
        kind=_kind(request.kind).name,
        name=request.name,
        settings=_merged({}, request.settings),
        bot=bot,
        secrets=(secret,),
        version=1,
    )
    return _checked(channel, check_url)


def changed(channel: ChannelRecord, request: ChannelChange, check_url: UrlCheck) -> ChannelRecord:
    """The channel with the given parts merged in, one version on; the same object where nothing differs."""
    merged = channel.model_copy(
        update={
            "name": channel.name if request.name is None else request.name,
            "settings": _merged(channel.settings, request.settings),
            "bot": _changed_bot(channel.bot, request.bot) if request.names_bot else channel.bot,
        }
    )
    if merged == channel:
        return channel
    return _next(_checked(merged, check_url))


def rotated(channel: ChannelRecord, secret: SealedSecret, now: datetime) -> ChannelRecord:
    """The new secret first; the one before it ends in 24 h, ended ones are gone. Raises SecretsExhausted."""
    until = to_timestamp(now + ROTATED_SECRET_LASTS)
    kept = [
        old if old.valid_until else old.model_copy(update={"valid_until": until})
        for old in channel.secrets
        if not old.valid_until or from_timestamp(old.valid_until) > now
    ]
    if len(kept) >= MAX_SECRETS:
        raise SecretsExhausted(min(from_timestamp(old.valid_until) for old in kept if old.valid_until))
    return _next(channel.model_copy(update={"secrets": (secret, *kept)}))


def resealed(channel: ChannelRecord, sealed: Sequence[str]) -> ChannelRecord:
    """The same secrets, each sealed anew, in their order."""
    secrets = tuple(old.model_copy(update={"sealed": text}) for old, text in zip(channel.secrets, sealed, strict=True))
    return _next(channel.model_copy(update={"secrets": secrets}))


def removed(channel: ChannelRecord) -> ChannelRecord:
    """The last record of a channel: no secrets, no addresses."""
    return _next(channel.model_copy(update={"deleted": True, "secrets": (), "settings": {}, "bot": None}))


def _next(channel: ChannelRecord) -> ChannelRecord:
    return channel.model_copy(update={"version": channel.version + 1})


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ChannelFault("UNKNOWN_KIND", "kind", f"one of: {', '.join(KINDS)}")
    return KINDS[name]


def _bot(request: NewBot | BotChange) -> BotSettings:
    if request.kind != "webhook":
        raise ChannelFault("UNKNOWN_KIND", "bot.kind", f"one of: {', '.join(BOT_URLS)}")
    return BotSettings(kind="webhook", settings=_merged({}, request.settings))


def _changed_bot(bot: BotSettings | None, request: BotChange | None) -> BotSettings | None:
    if request is None:
        return None
    if bot is None or request.kind not in (None, bot.kind):
        return _bot(request)
    return bot.model_copy(update={"settings": _merged(bot.settings, request.settings)})


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON Merge Patch (RFC 7396) on a flat object."""
    return {name: value for name, value in {**settings, **changes}.items() if value is not None}


def _checked(channel: ChannelRecord, check_url: UrlCheck) -> ChannelRecord:
    if found := capabilities.fault(channel.settings):
        raise ChannelFault("INVALID", *found)
    addresses = {f"settings.{name}": channel.settings.get(name) for name in KINDS[channel.kind].urls}
    given = {field: url for field, url in addresses.items() if url is not None}
    if channel.bot is not None:
        for name in BOT_URLS[channel.bot.kind]:
            given[f"bot.settings.{name}"] = channel.bot.settings.get(name)
    for field, url in given.items():
        if url is None:
            raise ChannelFault("INVALID", field, "required")
        if why := check_url(url) if isinstance(url, str) else "not a text":
            raise ChannelFault("URL_NOT_ALLOWED", field, why)
    return channel
