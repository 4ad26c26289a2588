"""What nobody can process: put aside with its bytes while the partition goes on; read and sent again by command."""

import asyncio
import os
import sys
import uuid

from aiokafka import AIOKafkaProducer

from shared.contracts.topics import CHANNEL_INBOUND
from shared.testing.api import Channel, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower
from shared.testing.system import System


async def dlq(system: System, *words: str) -> tuple[int, str]:
    """-> exit status and what was printed"""
    environment = {**os.environ, "RELAYDESK_KAFKA": system.info["engines"]["kafka"]}
    command = [sys.executable, "-m", "relaydesk", "dlq", *words]
    out = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=out, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def letters(system: System) -> int:
    status, printed = await dlq(system, "list")
    assert status == 0, printed
    return next(int(line.split()[0]) for line in printed.splitlines() if line.endswith(f" {CHANNEL_INBOUND}.dlq"))


async def test_garbage_is_put_aside_shown_and_sent_again(system: System, channel: Channel, stream: Follower) -> None:
    rubbish = f"\x00no record {uuid.uuid4().hex}"
    before = await letters(system)
    producer = AIOKafkaProducer(bootstrap_servers=system.info["engines"]["kafka"])
    await producer.start()
    try:
        for partition in range(12):
            await producer.send_and_wait(CHANNEL_INBOUND, rubbish.encode(), key=b"demo:x", partition=partition)
    finally:
        await producer.stop()
    who = someone()
    await channel.say(who, "behind the rubbish")
    await stream.conversation_of(who)

    async def put_aside(count: int) -> bool:
        return await letters(system) == before + count

    await eventually(lambda: put_aside(12), "all of it is put aside", timeout=120)
    for name in (CHANNEL_INBOUND, f"{CHANNEL_INBOUND}.dlq"):
        status, printed = await dlq(system, "show", name, "--offset", str(before))
        assert status == 0 and "UNDECODABLE" in printed and rubbish[1:] in printed, printed
    status, printed = await dlq(system, "replay", CHANNEL_INBOUND, "--offset", str(before))
    assert (status, printed.split(";")[0]) == (0, f"1 written again to {CHANNEL_INBOUND}")
    await eventually(lambda: put_aside(13), "it is put aside once more", timeout=120)


async def test_a_letter_that_is_not_there_is_said_so(system: System) -> None:
    status, printed = await dlq(system, "show", CHANNEL_INBOUND, "--offset", "999999")
    assert status == 1 and "has no letter at offset 999999" in printed
    status, printed = await dlq(system, "show", "workspace.ephemeral")
    assert status == 1 and "`relaydesk dlq list` names the topics that may" in printed
