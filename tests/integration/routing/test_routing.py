"""Routing on the real engines: what the in-memory proofs assume of Kafka and MongoDB holds."""

import asyncio
from collections.abc import Sequence

from services.routing.app import build
from services.routing.handlers import Producer
from services.routing.settings import RoutingSettings
from shared.contracts.commands import SendReply
from shared.contracts.ids import document_key
from shared.contracts.topics import (
    BOT_REQUESTS,
    CHANNEL_INBOUND,
    CHANNEL_OUTBOUND,
    CONTACTS,
    CONVERSATION_COMMANDS,
    META,
    WORKSPACE_EVENTS,
)
from shared.contracts.wire import decode_outbound, encode
from shared.runtime.incarnations import decode_incarnation
from shared.runtime.records import Letter, Outgoing
from shared.runtime.topic_admin import apply
from shared.testing.eventually import eventually
from tests.integration.routing.installation import REGISTRY, Installation, kinds_of
from tests.unit.routing.build import conversation_id, disable, message, reply

ADA = conversation_id()
CUSTOMERS = ("ada", "bob", "eve", "dan")


class Severed:
    """Nothing reaches Kafka, and nobody is told: the process hangs between write and publish until it is ended."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def __call__(self, producer: Producer) -> Producer:
        return self

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.asked.set()
        await asyncio.Event().wait()

    async def forward(self, letters: Sequence[Letter]) -> None:
        await asyncio.Event().wait()


async def test_inbound_becomes_events_deliveries_and_rows(installation: Installation) -> None:
    async with installation.process():
        await installation.write(message(bot_kind="webhook"), *(message(customer=who) for who in CUSTOMERS[1:]))
        await installation.until("message.received", 4)
        await installation.write(reply(disable_bot=True))
        await installation.until("message.sent")
        read = await installation.read()
    assert kinds_of(read[ADA]) == [
        "contact.created",
        "conversation.opened",
        "message.received",
        "bot.disabled",
        "conversation.assigned",
        "message.sent",
    ]
    assert len(read) == 4
    lane = [decode_outbound(record.value or b"") for record in await installation.records(CHANNEL_OUTBOUND)]
    assert [one.type for one in lane] == ["BotFence", "DeliverMessage"]
    assert len(await installation.records(CONTACTS)) == 4
    assert [record.key for record in await installation.records(BOT_REQUESTS)] == [document_key("acme", ADA).encode()]
    (outcome,) = [record for record in await installation.records(WORKSPACE_EVENTS) if "final" in record.headers]
    assert outcome.headers["causationid"].decode() == reply().id


async def test_a_batch_that_was_written_and_not_published_is_published_by_the_next_process(
    installation: Installation,
) -> None:
    severed = Severed()
    async with installation.process(severed, grace_s=0.2):
        await installation.write(*(message(customer=who) for who in CUSTOMERS))
        await severed.asked.wait()
    assert await installation.events() == []
    await installation.write(reply())
    async with installation.process() as process:
        await installation.until("message.sent")
        await installation.until("message.received", 4)
        assert process.counted("routing_applied_before") > 0
    read = await installation.read()
    assert kinds_of(read[ADA])[-2:] == ["conversation.assigned", "message.sent"]
    assert {len(events) for events in read.values()} == {3, 5}


async def test_what_is_committed_is_not_published_again(installation: Installation) -> None:
    async with installation.process() as process:
        await installation.write(message())
        await installation.until("message.received")
        await eventually(lambda: process.counted("routing_decided") == 1, "decided")
    async with installation.process() as process:
        await installation.write(message("m2"))
        await installation.until("message.received", 2)
        assert process.counted("routing_applied_before") == 0
    assert [event.seq for event in await installation.events()] == [1, 2, 3, 4]


async def test_an_input_topic_made_anew_loses_nothing(installation: Installation) -> None:
    async with installation.process():
        await installation.write(*(message(f"m{n}", customer=who) for n in range(3) for who in CUSTOMERS))
        await installation.until("message.received", 12)
    await remake(installation, CHANNEL_INBOUND)
    async with installation.process():
        await installation.write(*(message(f"m{n}", customer=who) for n in range(2, 4) for who in CUSTOMERS))
        await installation.until("message.received", 16)
        await installation.write(reply())
        await installation.until("message.sent")
    read = await installation.read()
    texts = [event.data["message"]["external_id"] for event in read[ADA] if event.type.endswith("message.received.v1")]
    assert texts == ["m0", "m1", "m2", "m3"]


async def test_a_running_process_ends_when_its_input_is_made_anew(installation: Installation) -> None:
    async with installation.process() as process:
        await installation.write(message())
        await installation.until("message.received")
        await remake(installation, CHANNEL_INBOUND)
        await eventually(lambda: process.fatals, "the process wants to end")


async def remake(installation: Installation, topic: str) -> None:
    async def lives() -> set[str]:
        rows = [row for row in await installation.records(META) if row.key == topic.encode()]
        return {decode_incarnation(row.value or b"") for row in rows}

    before, admin = await lives(), installation.messaging.admin_client()
    await admin.start()
    try:
        await admin.delete_topics([installation.messaging.on_broker(topic)])

        async def made() -> bool:
            return topic in (await apply(installation.messaging, REGISTRY)).created

        await eventually(made, f"{topic} is made anew")
    finally:
        await admin.close()
    assert await lives() - before


class Witness:
    """Looks, when `bot.disabled` is about to be told, whether the fence can be read by others."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.fences_at_disabling: list[int] = []

    def __call__(self, producer: Producer) -> Producer:
        self._producer = producer
        return self

    async def forward(self, letters: Sequence[Letter]) -> None:
        await self._producer.forward(letters)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if any(dict(record.headers)["type"] == b"relaydesk.bot.disabled.v1" for record in records):
            lane = await self._installation.records(CHANNEL_OUTBOUND)
            self.fences_at_disabling.append(sum(record.headers["type"] == b"BotFence" for record in lane))
        await self._producer.publish(records)


async def test_the_fence_is_in_the_lane_before_the_disabling_is_told(installation: Installation) -> None:
    witness = Witness(installation)
    async with installation.process(witness):
        await installation.write(*(message(customer=who, bot_kind="webhook") for who in CUSTOMERS))
        await installation.until("message.received", 4)
        await installation.write(disable())
        await installation.until("bot.disabled")
    assert witness.fences_at_disabling == [1]


async def test_after_a_write_of_another_owner_it_goes_on_from_what_is_committed(installation: Installation) -> None:
    async with installation.process() as process:
        await installation.write(message())
        await installation.until("message.received")
        await process.db["conversations"].update_one({"_id": document_key("acme", ADA)}, {"$inc": {"version": 1}})
        await installation.write(message("m2"), reply())
        await installation.until("message.sent")
        assert process.counted("routing_conflicts") == 1
        assert process.fatals == []
    kinds = kinds_of((await installation.read())[ADA])
    assert kinds.count("message.received") == 2
    assert kinds.count("message.sent") == 1


async def test_garbage_goes_to_the_dead_letters_and_the_partition_goes_on(installation: Installation) -> None:
    unknown = b'{"type":"SendReply.v9",' + _head(reply("r9")) + b"}"
    async with installation.process():
        await installation.write_bytes([(message(), b"\xff\x00"), (message(), b'{"type":"Later"}')])
        await installation.write(message(), message("m2", channel_id="another"), message("m3"))
        await installation.until("message.received", 2)
        await installation.write_bytes([(reply(), b"not json"), (reply(), unknown)])
        await installation.write(reply())
        await installation.until("message.sent")
        (rejected,) = await installation.until("command.rejected")
    assert (rejected.data["code"], rejected.data["command_id"]) == ("INTERNAL", reply("r9").id)
    inbound = {letter.headers["reason"]: letter.value for letter in await installation.dead_letters(CHANNEL_INBOUND)}
    assert inbound.keys() == {b"UNDECODABLE", b"UNKNOWN_TYPE", b"FOREIGN"}
    assert inbound[b"UNDECODABLE"] == b"\xff\x00"
    commands = await installation.dead_letters(CONVERSATION_COMMANDS)
    assert [letter.headers["reason"] for letter in commands] == [b"UNDECODABLE", b"UNKNOWN_TYPE"]


def _head(command: SendReply) -> bytes:
    """What every command has, without the braces."""
    whole = encode(command)
    return whole[1 : whole.index(b',"type"')]


async def test_the_service_as_built_starts_works_and_stops(installation: Installation) -> None:
    place = installation.place
    settings = RoutingSettings(
        kafka=place.engines.kafka,
        topic_prefix=place.topic_prefix,
        mongo=place.engines.mongo,
        mongo_prefix=place.mongo_prefix,
        mongo_driver="pymongo",
    )
    service = build(settings)
    for component in service.components:
        await component.start()
    service.health.started = True

    async def is_ready() -> bool:
        return await service.health.missing() == {}

    await installation.write(message())
    await installation.until("message.received")
    await eventually(is_ready, "ready")
    assert service.health.stuck() == {}
    for component in reversed(service.components):
        await component.stop()
    assert service.health.cause_of_death is None
