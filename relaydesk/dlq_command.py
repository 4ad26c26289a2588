"""`relaydesk dlq list|show|replay`: dead letters, counted, read, and written to their source once more."""

from collections.abc import Sequence

from relaydesk.errors import CommandError
from relaydesk.topics_command import with_messaging
from shared.contracts.topics import TOPICS, dead_letter_name
from shared.runtime.messaging import Messaging
from shared.runtime.range_reader import read_range
from shared.runtime.records import Letter, Record

ABOUT_THE_LETTER = ("reason", "error", "attempts", "source-topic", "source-partition", "source-offset", "time")
SHOWN_BYTES = 2_000
MOST = 1_000_000
AT_ONCE = 500


def count() -> int:
    """Print how many letters there are, a topic a line."""

    async def counted(messaging: Messaging) -> list[tuple[str, int]]:
        names = [name for name in TOPICS if name.endswith(dead_letter_name(""))]
        return [(name, end - start) for name in names for start, end in [await _span(messaging, name)]]

    for name, letters in with_messaging(counted):
        print(f"{letters:8d}  {name}")
    return 0


def show(topic: str, offset: int | None, limit: int) -> int:
    """Print the newest `limit` letters of a topic, or the one at `offset`, with their bytes."""
    for letter in _letters(topic, offset, limit):
        print(_described(letter), end="\n\n")
    return 0


def replay(topic: str, offset: int | None) -> int:
    """Write letters to the topic they came from, as they were. May be repeated: what was already processed is known
    by its id and changes nothing."""
    letters = [_original(letter) for letter in _letters(topic, offset, MOST)]

    async def write(messaging: Messaging) -> None:
        producer = messaging.producer()
        await producer.start()
        try:
            for start in range(0, len(letters), AT_ONCE):
                await producer.forward(letters[start : start + AT_ONCE])
        finally:
            await producer.stop()

    with_messaging(write)
    print(f"{len(letters)} written again to {topic.removesuffix(dead_letter_name(''))}; they stay until they expire")
    return 0


def _letters(topic: str, offset: int | None, limit: int) -> Sequence[Record]:
    """Letters of a topic, named by its own name or by theirs, oldest first. CommandError where there are none."""
    name = topic if topic.endswith(dead_letter_name("")) else dead_letter_name(topic)
    if name not in TOPICS:
        raise CommandError(f"{topic} has no dead letters; `relaydesk dlq list` names the topics that may")

    async def read(messaging: Messaging) -> list[Record]:
        start, end = await _span(messaging, name)
        span = (max(start, end - limit), end) if offset is None else (offset, offset + 1)
        if offset is not None and not start <= offset < end:
            raise CommandError(f"{name} has no letter at offset {offset}: it has {start} to {end - 1}")
        return await read_range(messaging, name, 0, span, limit)

    return with_messaging(read)


async def _span(messaging: Messaging, topic: str) -> tuple[int, int]:
    """First offset and end offset; letters have one partition."""
    partitions = await messaging.partitions_of(topic)
    reader = messaging.reader_client()
    await reader.start()
    try:
        starts = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
    finally:
        await reader.stop()
    return starts[partitions[0]], ends[partitions[0]]


def _described(letter: Record) -> str:
    about = {name: letter.headers.get(name, b"").decode(errors="replace") for name in ABOUT_THE_LETTER}
    value = letter.value or b""
    more = f" … {len(value)} bytes" if len(value) > SHOWN_BYTES else ""
    source = f"{about['source-topic']}/{about['source-partition']} offset {about['source-offset']}"
    return (
        f"offset {letter.offset}  {about['time']}  from {source}, {about['attempts']} attempts\n"
        f"  {about['reason']}: {about['error']}\n"
        f"  key {(letter.key or b'').decode(errors='backslashreplace')}\n"
        f"  {value[:SHOWN_BYTES].decode(errors='backslashreplace')}{more}"
    )


def _original(letter: Record) -> Letter:
    source = letter.headers.get("source-topic", b"").decode(errors="replace")
    if source not in TOPICS:
        raise CommandError(f"the letter at offset {letter.offset} does not say which topic it came from")
    headers = tuple((name, value) for name, value in letter.headers.items() if name not in ABOUT_THE_LETTER)
    return Letter(source, letter.key, letter.value, headers)
