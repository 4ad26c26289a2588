from services.gateway.channels import Channels
from shared.contracts.outbound import ChannelRecord
from shared.contracts.resources import BotSettings
from shared.contracts.wire import encode


def row(version: int = 1, bot: bool = True, deleted: bool = False) -> bytes:
    settings = BotSettings(kind="webhook") if bot else None
    return encode(
        ChannelRecord(
            workspace="acme",
            id="c-1",
            kind="webhook",
            name="Web",
            settings={},
            bot=settings,
            secrets=(),
            version=version,
            deleted=deleted,
        )
    )


def test_a_channels_bot_is_known_within_its_workspace_only() -> None:
    bots = Channels()
    bots.changed("c-1", row())
    assert bots.bot_kind("acme", "c-1") == "webhook"
    assert bots.bot_kind("other", "c-1") is None
    assert bots.bot_kind("acme", "c-2") is None
    assert bots.bot_kind("acme", None) is None


def test_the_highest_version_counts_and_garbage_changes_nothing() -> None:
    bots = Channels()
    bots.changed("c-1", row(version=3, bot=False))
    bots.changed("c-1", row(version=2))
    bots.changed("c-1", b"garbage")
    assert bots.bot_kind("acme", "c-1") is None
    bots.changed("c-1", row(version=4))
    assert bots.bot_kind("acme", "c-1") == "webhook"


def test_a_deleted_channel_has_no_bot() -> None:
    for gone in (row(version=2, deleted=True), None):
        bots = Channels()
        bots.changed("c-1", row())
        bots.changed("c-1", gone)
        assert bots.bot_kind("acme", "c-1") is None
