"""`q=`: the conversations of an inbox in which all words of a query are found, the latest activity first.

No request works for long, however common the words. Where few messages have one of them, their conversations are
looked at. Where all are common, the inbox itself is walked in its order; a page may end early and says how far it came.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.gateway.core import ConversationState
from services.gateway.store.documents import CONVERSATIONS, WORDS, activity, conversation_state
from services.gateway.store.inbox import Inbox, InboxStore, Page, query_of
from shared.runtime.mongo import DESCENDING, Database, Document, IndexModel, Mongo

FEW = 2_000
"""Messages. A word of fewer is looked up; of more is walked for."""

CHUNK = 200
MOST_WALKED = 4_000
"""Conversations in one request."""

WORD_INDEXES = (
    IndexModel([("workspace", 1), ("words", 1)], name="search"),
    IndexModel([("conversation", 1)], name="conversation"),  # with the words it would double what a message costs
)


@dataclass(frozen=True, slots=True)
class Found:
    """`more`: the activity behind which the next page begins; None at the end. `states` may be fewer than asked for,
    even none, and more behind them."""

    states: list[ConversationState]
    more: str | None


class SearchStore:
    """Every query names the workspace."""

    def __init__(self, mongo: Mongo, model: Database | None = None) -> None:
        self._db = mongo.db if model is None else model
        self._inbox = InboxStore(mongo, model)

    async def page(self, inbox: Inbox, page: Page, terms: Sequence[str]) -> Found:
        """`terms` as `words.terms_of` makes them; at least one."""
        rare = await self._conversations_with_the_rarest(inbox.workspace, terms)
        if rare is None:
            return await self._walked(inbox, page, terms)
        matching = await self._with_all(rare, terms)
        states = await self._those(inbox, page, matching)
        return Found(states, activity(states[-1]) if len(states) == page.limit else None)

    async def _conversations_with_the_rarest(self, workspace: str, terms: Sequence[str]) -> set[str] | None:
        """None where every term is common."""
        fewest: set[str] | None = None
        for term in sorted(terms, key=len, reverse=True):
            wanted = {"workspace": workspace, "words": _begins(term)}
            rows = await self._db[WORDS].find(wanted, {"conversation": 1}).hint("search").limit(FEW).to_list(None)
            if len(rows) < FEW:
                keys = {row["conversation"] for row in rows}
                fewest = keys if fewest is None or len(keys) < len(fewest) else fewest
        return fewest

    async def _with_all(self, keys: Collection[str], terms: Sequence[str]) -> set[str]:
        left = set(keys)
        for term in terms:
            if left:
                wanted = {"conversation": {"$in": sorted(left)}, "words": _begins(term)}
                rows = self._db[WORDS].find(wanted, {"_id": 0, "conversation": 1}).hint("conversation")
                left = {row["conversation"] for row in await rows.to_list(None)}
        return left

    async def _those(self, inbox: Inbox, page: Page, keys: Collection[str]) -> list[ConversationState]:
        """At most FEW documents are read, by their ids, and sorted."""
        wanted = _behind(inbox, page.after) | {"_id": {"$in": sorted(keys)}}
        found = self._db[CONVERSATIONS].find(wanted).hint("_id_").sort("activity", DESCENDING).limit(page.limit)
        return [conversation_state(document) for document in await found.to_list(None)]

    async def _walked(self, inbox: Inbox, page: Page, terms: Sequence[str]) -> Found:
        states: list[ConversationState] = []
        after = page.after
        for _ in range(MOST_WALKED // CHUNK):
            chunk = await self._inbox.page(inbox, Page(CHUNK, after))
            matching = await self._with_all({state.key for state in chunk}, terms)
            states += [state for state in chunk if state.key in matching]
            if len(states) >= page.limit:
                states = states[: page.limit]
                return Found(states, activity(states[-1]))
            if len(chunk) < CHUNK:
                return Found(states, None)
            after = activity(chunk[-1])
        return Found(states, after)


def _behind(inbox: Inbox, after: str | None) -> Document:
    wanted = query_of(inbox)
    return wanted if after is None else wanted | {"activity": {"$lt": after}}


def _begins(term: str) -> Document:
    return {"$regex": f"^{re.escape(term)}"}
