"""Where groups are, and setting that: for commands, while no service runs."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, for_code

from shared.runtime.faults import Fatal, Transient
from shared.runtime.records import Partition

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

DEADLINE_S = 20.0
_ERROR, _MEMBERS = 0, 5
"""Places in the broker's description of a group."""


async def members(messaging: "Messaging", groups: Iterable[str]) -> dict[str, int]:
    """Groups that have members -> how many. A member that was killed counts until its session is over."""
    found: dict[str, int] = {}
    admin = messaging.admin_client()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await admin.start()
            for group in groups:
                [response] = await admin.describe_consumer_groups([messaging.on_broker(group)])
                [described] = response.groups
                if described[_ERROR]:
                    raise for_code(described[_ERROR])(f"group {group}")
                if described[_MEMBERS]:
                    found[group] = len(described[_MEMBERS])
    except (KafkaError, TimeoutError) as error:
        raise Transient(f"Kafka did not describe the groups: {error!r}") from error
    finally:
        await admin.close()
    return found


async def committed(messaging: "Messaging", group: str, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The group's offsets; without those where it has none."""
    found: dict[Partition, int] = {}
    async with _client(messaging, group) as client:
        for at in partitions:
            offset = await client.committed(messaging.partition(at))
            if offset is not None:
                found[at] = offset
    return found


async def commit(messaging: "Messaging", group: str, offsets: Mapping[Partition, int]) -> None:
    """Set them. Fatal where the group has members."""
    if not offsets:
        return
    async with _client(messaging, group) as client:
        there = {messaging.partition(at): offset for at, offset in offsets.items()}
        client.assign(list(there))
        await client.commit(there)


@asynccontextmanager
async def _client(messaging: "Messaging", group: str) -> AsyncIterator[AIOKafkaConsumer]:
    client = messaging.offsets_client(group)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await client.start()
            yield client
    except TimeoutError as error:
        raise Transient(f"Kafka did not answer about the group {group}") from error
    except KafkaError as error:
        if error.retriable:
            raise Transient(f"Kafka did not answer about the group {group}: {error!r}") from error
        raise Fatal(f"Kafka refused the offsets of the group {group}: {error!r}") from error
    finally:
        await client.stop()
