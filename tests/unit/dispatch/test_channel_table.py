from typing import Any

from pydantic import SecretStr

from services.dispatch.channel_table import ChannelTable
from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.contracts.resources import BotSettings
from shared.contracts.wire import encode
from shared.runtime.secrets import SecretBox
from tests.unit.dispatch.builders import CHANNEL, SECRET

BOX = SecretBox(SecretStr("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="))


def row(version: int = 1, secrets: tuple[SealedSecret, ...] | None = None, **changes: Any) -> bytes:
    sealed = (SealedSecret(sealed=BOX.seal(SECRET.encode(), CHANNEL)),)
    given: dict[str, Any] = {
        "workspace": "acme",
        "id": CHANNEL,
        "kind": "webhook",
        "name": "Shop",
        "settings": {"outbound_url": "http://a.test/"},
        "bot": BotSettings(kind="webhook", settings={"url": "http://b.test/"}),
        "secrets": sealed if secrets is None else secrets,
        "version": version,
    }
    return encode(ChannelRecord(**(given | changes)))


class Changes:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.table = ChannelTable(BOX, self.seen.append)

    def read(self, value: bytes | None) -> None:
        self.table.read(CHANNEL, value)


def test_a_channel_is_known_with_its_open_secret() -> None:
    changes = Changes()
    changes.read(row())
    channel = changes.table.get(CHANNEL)
    assert channel is not None and channel.secret == SECRET and channel.bot is not None
    assert changes.seen == [CHANNEL] and SECRET not in repr(channel)


def test_the_current_secret_signs_not_a_rotated_one() -> None:
    old = SealedSecret(sealed=BOX.seal(b"whsec_old", CHANNEL), valid_until="2026-11-24T09:30:00.000Z")
    new = SealedSecret(sealed=BOX.seal(b"whsec_new", CHANNEL))
    for secrets in ((old, new), (new, old)):
        changes = Changes()
        changes.read(row(secrets=secrets))
        channel = changes.table.get(CHANNEL)
        assert channel is not None and channel.secret == "whsec_new"


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    changes = Changes()
    changes.read(row(3, settings={"outbound_url": "http://new.test/"}))
    changes.read(row(2, settings={"outbound_url": "http://old.test/"}))
    channel = changes.table.get(CHANNEL)
    assert channel is not None and channel.settings["outbound_url"] == "http://new.test/"


def test_a_change_that_matters_to_deliveries_is_told_and_another_name_is_not() -> None:
    changes = Changes()
    changes.read(row(1))
    changes.read(row(2, name="Store"))
    assert changes.seen == [CHANNEL]
    changes.read(row(3, settings={"outbound_url": "http://b.test/"}))
    assert changes.seen == [CHANNEL] * 2


def test_a_removed_channel_is_unknown_and_a_deleted_one_says_so() -> None:
    changes = Changes()
    changes.read(row(2, deleted=True, secrets=()))
    channel = changes.table.get(CHANNEL)
    assert channel is not None and channel.deleted and channel.secret is None
    changes.read(None)
    assert changes.table.get(CHANNEL) is None


def test_a_row_that_cannot_be_read_leaves_the_older_one() -> None:
    changes = Changes()
    changes.read(row())
    changes.read(b"{")
    assert changes.table.get(CHANNEL) is not None


def test_a_secret_that_does_not_open_leaves_the_channel_without_one() -> None:
    for sealed in ("x.y", BOX.seal(SECRET.encode(), "another channel"), BOX.seal(b"\xff", CHANNEL)):
        changes = Changes()
        changes.read(row(secrets=(SealedSecret(sealed=sealed),)))
        channel = changes.table.get(CHANNEL)
        assert channel is not None and channel.secret is None
