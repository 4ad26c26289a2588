from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.ingest.channel_rules import ChannelFault, SecretsExhausted, changed, created, removed, rotated
from services.ingest.requests import ChannelChange, NewChannel
from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.contracts.times import to_timestamp

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
URL = "https://adapter.example/in"
BOT = {"kind": "webhook", "settings": {"url": "https://bot.example/in"}}


def check_url(url: str) -> str | None:
    return None if url.startswith("https://") and "localhost" not in url and "10.0.0.1" not in url else "not that one"


def make(**fields: Any) -> ChannelRecord:
    request = NewChannel.model_validate({"kind": "webhook", "name": "Shop", **fields})
    return created(request, "c1", "demo", SealedSecret(sealed="one"), check_url)


def change(channel: ChannelRecord, **fields: Any) -> ChannelRecord:
    return changed(channel, ChannelChange.model_validate(fields), check_url)


def fault(**fields: Any) -> tuple[str, str]:
    with pytest.raises(ChannelFault) as caught:
        make(**fields)
    return caught.value.code, caught.value.field


def test_a_new_channel_is_version_one_and_has_one_secret() -> None:
    channel = make(settings={"outbound_url": URL, "note": None}, bot=BOT)
    assert (channel.version, channel.secrets) == (1, (SealedSecret(sealed="one"),))
    assert channel.settings == {"outbound_url": URL}
    assert channel.bot is not None and channel.bot.settings == BOT["settings"]


def test_what_cannot_be_a_channel_is_refused_with_its_field() -> None:
    assert fault(kind="pigeon") == ("UNKNOWN_KIND", "kind")
    assert fault(bot={"kind": "oracle"}) == ("UNKNOWN_KIND", "bot.kind")
    assert fault(bot={"kind": "webhook"}) == ("INVALID", "bot.settings.url")
    assert fault(settings={"outbound_url": "http://adapter.example"}) == ("URL_NOT_ALLOWED", "settings.outbound_url")
    assert fault(settings={"capabilities": {"voice": "yes"}}) == ("INVALID", "settings.capabilities.voice")
    assert fault(settings={"outbound_url": 5}) == ("URL_NOT_ALLOWED", "settings.outbound_url")
    assert fault(bot={"kind": "webhook", "settings": {"url": "https://10.0.0.1"}}) == (
        "URL_NOT_ALLOWED",
        "bot.settings.url",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 201},
        {"name": None},
        {"settings": {"Outbound": 1}},
        {"settings": {"a.b": 1}},
        {"settings": {"$set": 1}},
        {"settings": {"a": {"b": 1}}},
        {"settings": {"a": 2**64}},
        {"settings": {"a": "x" * 8193}},
        {"settings": {f"a{n}": 1 for n in range(65)}},
        {"secret": "mine"},
        {"bot": {"kind": "webhook", "settings": [], "x": 1}},
    ],
)
def test_a_request_of_another_form_is_not_read(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewChannel.model_validate({"kind": "webhook", "name": "Shop", **fields})


def test_a_change_merges_settings_and_null_takes_one_away() -> None:
    channel = change(make(settings={"outbound_url": URL, "colour": "red"}), settings={"colour": None, "size": 5})
    assert channel.settings == {"outbound_url": URL, "size": 5}
    assert (channel.version, channel.name) == (2, "Shop")


def test_a_change_that_changes_nothing_is_no_new_version() -> None:
    channel = make(settings={"outbound_url": URL}, bot=BOT)
    assert change(channel, name="Shop", settings={"outbound_url": URL}, bot=BOT) is channel
    assert change(channel) is channel


def test_a_bot_is_added_changed_and_removed() -> None:
    plain = make()
    with_bot = change(plain, bot=BOT)
    renamed = change(with_bot, name="Store")
    silent = change(with_bot, bot=None)
    merged = change(with_bot, bot={"settings": {"language": "en"}})
    assert with_bot.bot is not None and renamed.bot == with_bot.bot and silent.bot is None
    assert merged.bot is not None and merged.bot.settings == {"url": "https://bot.example/in", "language": "en"}


def test_a_change_is_checked_like_a_new_channel() -> None:
    with pytest.raises(ChannelFault):
        change(make(), settings={"outbound_url": "https://localhost"})
    with pytest.raises(ChannelFault):
        change(make(), bot={"settings": {"url": URL}})


def test_a_rotated_secret_lasts_a_day() -> None:
    channel = rotated(make(), SealedSecret(sealed="two"), NOW)
    tomorrow = to_timestamp(NOW + timedelta(hours=24))
    assert channel.secrets == (SealedSecret(sealed="two"), SealedSecret(sealed="one", valid_until=tomorrow))
    later = rotated(channel, SealedSecret(sealed="three"), NOW + timedelta(hours=24))
    assert [secret.sealed for secret in later.secrets] == ["three", "two"]
    assert later.version == 3


def test_a_secret_rotated_before_keeps_its_own_end() -> None:
    channel = rotated(
        rotated(make(), SealedSecret(sealed="two"), NOW), SealedSecret(sealed="three"), NOW + timedelta(hours=1)
    )
    ends = {secret.sealed: secret.valid_until for secret in channel.secrets}
    assert ends["one"] == to_timestamp(NOW + timedelta(hours=24))
    assert ends["two"] == to_timestamp(NOW + timedelta(hours=25))


def test_rotating_so_often_that_a_valid_secret_would_be_lost_is_refused() -> None:
    channel = make()
    for number in range(7):
        channel = rotated(channel, SealedSecret(sealed=f"next-{number}"), NOW)
    with pytest.raises(SecretsExhausted) as caught:
        rotated(channel, SealedSecret(sealed="one too many"), NOW)
    assert caught.value.until == NOW + timedelta(hours=24)
    assert len(rotated(channel, SealedSecret(sealed="a day later"), NOW + timedelta(hours=24)).secrets) == 2


def test_a_removed_channel_keeps_no_secret_and_no_address() -> None:
    gone = removed(make(settings={"outbound_url": URL}, bot=BOT))
    assert gone.deleted and (gone.secrets, gone.settings, gone.bot, gone.version) == ((), {}, None, 2)
