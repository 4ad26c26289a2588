"""Searching an inbox: words kept by the projector against MongoDB's text index.

python -m bench.search MONGO [MESSAGES]

Makes a database of its own and drops it. Prints, for both, what a message costs to index (writes in batches of 500, as
the projector's) and what a page of 50 conversations costs, newest first, for rare and common words.
"""

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from services.gateway.core import ConversationState
from services.gateway.store.documents import CONVERSATIONS, WORDS, conversation_document, row_id, words_document
from services.gateway.store.inbox import CONVERSATION_INDEXES, Inbox, Page
from services.gateway.store.search import WORD_INDEXES, SearchStore
from services.gateway.words import terms_of, words_of
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import DESCENDING, Document, IndexModel, InsertOne, Mongo

BATCH = 500
WORDS_A_MESSAGE = 15
VOCABULARY = 20_000
A_CONVERSATION = 10
TIMES = 20
QUERIES = {"rare": "rareword", "common": "commonword", "rare and common": "rareword commonword", "two common": "w1 w2"}
WORKSPACE = "bench"


def text(dice: random.Random, number: int) -> str:
    """Words as often as in speech: the n-th most frequent 1/n as often as the first. One in 2,000 has `rareword`."""
    words = [f"w{int(VOCABULARY ** dice.random())}" for _ in range(WORDS_A_MESSAGE)]
    return " ".join([*words, "commonword", "rareword" if number % 2_000 == 0 else "x"])


def key_of(number: int) -> str:
    return f"{WORKSPACE}:{number // A_CONVERSATION:036}"


async def indexed(mongo: Mongo, collection: str, documents: list[Document]) -> float:
    """Microseconds a document."""
    begun = time.perf_counter()
    for start in range(0, len(documents), BATCH):
        writes = [InsertOne(document) for document in documents[start : start + BATCH]]
        await mongo.db[collection].bulk_write(writes, ordered=False)
    return (time.perf_counter() - begun) / len(documents) * 1e6


async def by_text(mongo: Mongo, query: str) -> int:
    wanted = {"workspace": WORKSPACE, "$text": {"$search": " ".join(f'"{word}"' for word in query.split())}}
    group = [{"$match": wanted}, {"$group": {"_id": "$conversation"}}]
    keys = [row["_id"] for row in await mongo.aggregate("texts", group)]
    found = mongo.db[CONVERSATIONS].find({"_id": {"$in": keys}}).sort("activity", DESCENDING).limit(50)
    return len(await found.to_list(None))


async def by_words(mongo: Mongo, query: str) -> int:
    found = await SearchStore(mongo).page(Inbox(WORKSPACE, "m"), Page(50), terms_of(query))
    return len(found.states)


async def timed(ask: Callable[[Mongo, str], Awaitable[int]], mongo: Mongo, query: str) -> str:
    took, found = [], 0
    for _ in range(TIMES):
        begun = time.perf_counter()
        found = await ask(mongo, query)
        took.append((time.perf_counter() - begun) * 1e3)
    return f"{statistics.median(took):9.1f} ms, worst {max(took):7.1f} ms, {found} found"


async def measure(mongo: Mongo, messages: int) -> None:
    dice = random.Random(1)
    texts = [text(dice, number) for number in range(messages)]
    rows = [(key_of(number), number % A_CONVERSATION + 1) for number in range(messages)]
    states = [
        ConversationState(WORKSPACE, key_of(number)[6:], 1, status="open", updated_at=f"{number:012}")
        for number in range(0, messages, A_CONVERSATION)
    ]
    await mongo.db[CONVERSATIONS].create_indexes(list(CONVERSATION_INDEXES))
    await mongo.db[WORDS].create_indexes(list(WORD_INDEXES))
    text_index = IndexModel([("workspace", 1), ("text", "text")], default_language="none", name="text")
    await mongo.db["texts"].create_indexes([text_index])
    await indexed(mongo, CONVERSATIONS, [conversation_document(state) for state in states])
    plain = [
        {"_id": row_id(row), "workspace": WORKSPACE, "conversation": row[0], "text": said}
        for row, said in zip(rows, texts, strict=True)
    ]
    begun = time.perf_counter()
    cut = [words_document(row, words_of([said])) for row, said in zip(rows, texts, strict=True)]
    print(f"cutting into words {(time.perf_counter() - begun) / messages * 1e6:.0f} us a message")
    print(f"no index           {await indexed(mongo, 'plain', plain):.0f} us a message")
    print(f"text index         {await indexed(mongo, 'texts', plain):.0f} us a message")
    print(f"words              {await indexed(mongo, WORDS, cut):.0f} us a message")
    for name, query in QUERIES.items():
        print(f"{name:16} text index {await timed(by_text, mongo, query)}")
        print(f"{name:16} words      {await timed(by_words, mongo, query)}")
    for name in ("texts", WORDS):
        size = (await mongo.db.command({"collStats": name}))["totalIndexSize"]
        print(f"{name:6} indexes {size / messages:.0f} bytes a message")


async def main(address: str, messages: int) -> None:
    mongo = Mongo(address, f"bench_search_{time.time_ns()}", "pymongo", Metrics())
    await mongo.start()
    try:
        print(f"{messages} messages in {messages // A_CONVERSATION} conversations")
        await measure(mongo, messages)
    finally:
        await mongo.beside("admin").client.drop_database(mongo.db.name)
        await mongo.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000))
