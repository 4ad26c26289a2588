import asyncio
from datetime import timedelta

from services.ingest.lookup import ChannelLookup
from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.contracts.times import to_timestamp
from tests.unit.ingest.doubles import CHANNEL, OLD_SECRET, SECRET, Shelf, StandingClock, unsealed


def lookup(shelf: Shelf, clock: StandingClock | None = None) -> ChannelLookup:
    return ChannelLookup(shelf, unsealed, clock or StandingClock(), keep_s=3.0)


async def test_a_channel_is_kept_for_seconds_only() -> None:
    shelf, clock = Shelf(), StandingClock()
    channels = lookup(shelf, clock)
    assert await channels.find(CHANNEL.id) is await channels.find(CHANNEL.id)
    assert shelf.asked == 1
    clock.pass_by(3.0)
    await channels.find(CHANNEL.id)
    assert shelf.asked == 2


async def test_an_unknown_channel_is_not_kept() -> None:
    shelf = Shelf(channels={})
    channels = lookup(shelf)
    assert await channels.find(CHANNEL.id) is None
    shelf.channels[CHANNEL.id] = CHANNEL
    assert await channels.find(CHANNEL.id) is not None


async def test_a_change_here_counts_at_once() -> None:
    shelf = Shelf()
    channels = lookup(shelf)
    await channels.find(CHANNEL.id)
    shelf.channels.clear()
    channels.forget(CHANNEL.id)
    assert await channels.find(CHANNEL.id) is None


async def test_what_was_asked_for_before_a_change_is_not_kept_after_it() -> None:
    class Slow(Shelf):
        async def find(self, ident: str) -> ChannelRecord | None:
            found = await super().find(ident)
            await asyncio.sleep(0.01)
            return found

    shelf = Slow()
    channels = lookup(shelf)
    asking = asyncio.create_task(channels.find(CHANNEL.id))
    await asyncio.sleep(0)
    shelf.channels.clear()
    channels.forget(CHANNEL.id)
    assert await asking is not None
    assert await channels.find(CHANNEL.id) is None


async def test_a_channel_of_a_kind_we_do_not_know_takes_no_events() -> None:
    shelf = Shelf({CHANNEL.id: CHANNEL.model_copy(update={"kind": "pigeon"})})
    assert await lookup(shelf).find(CHANNEL.id) is None


async def test_a_rotated_secret_is_valid_until_its_end() -> None:
    clock = StandingClock()
    old = SealedSecret(sealed=OLD_SECRET, valid_until=to_timestamp(clock.now() + timedelta(hours=1)))
    record = CHANNEL.model_copy(update={"secrets": (*CHANNEL.secrets, old)})
    channel = await lookup(Shelf({CHANNEL.id: record}), clock).find(CHANNEL.id)
    assert channel is not None
    assert channel.valid_secrets(clock.now()) == [SECRET, OLD_SECRET]
    assert channel.valid_secrets(clock.now() + timedelta(hours=1)) == [SECRET]
    assert SECRET not in repr(channel.secrets)
