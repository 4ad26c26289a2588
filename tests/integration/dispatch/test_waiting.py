"""What waits for a dead adapter waits in the database: the process holds its conversations, not its messages."""

import gc
from collections import Counter

from services.dispatch.core.delivery import Delivery
from services.dispatch.lanes import Lane
from shared.contracts.outbound import DeliverMessage
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk

CONVERSATIONS = 20
DEAD = "http://127.0.0.1:1/"
UNDER_WAY = 3 * CONVERSATIONS
"""Heads of lanes that may be in an attempt at the moment of counting, each a few objects."""


def held() -> Counter[str]:
    """Live objects of this process, in which dispatch runs too."""
    gc.collect()
    kinds = {Delivery: "deliveries", DeliverMessage: "messages", Lane: "lanes"}
    return Counter(name for thing in gc.get_objects() if (name := kinds.get(type(thing))))


async def test_thousands_of_messages_for_a_dead_adapter_wait_in_the_database(own_installation: Installation) -> None:
    installation = own_installation
    before = held()
    async with installation.dispatch():
        channel = await installation.channel(DEAD)
        talks = [Talk(installation, channel) for _ in range(CONVERSATIONS)]

        async def waiting(each: int) -> Counter[str]:
            for talk in talks:
                await talk.send(each)
            sent = sum(talk.seq - Talk.seq for talk in talks)

            async def stored() -> bool:
                """All but the heads, which may be in an attempt."""
                found = await installation.db.deliveries.count_documents({"channel_id": channel, "state": "waiting"})
                return bool(found >= sent - CONVERSATIONS)

            await eventually(stored, "all of them are stored", every=0.2)

            def settled() -> Counter[str] | None:
                now = held()
                now.subtract(before)
                within = now["deliveries"] <= UNDER_WAY and now["messages"] <= UNDER_WAY
                assert within and now["lanes"] == CONVERSATIONS, now
                return now

            return await eventually(settled, f"little is held while {each} wait in each", every=0.2)

        await waiting(10)
        await waiting(240)
