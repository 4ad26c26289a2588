"""Reading conversations: the inbox, one of them, its thread, the counters."""

import base64
import binascii
from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query

from services.gateway import views
from services.gateway.bodies import MAX_SEQ
from services.gateway.http.answers import plain
from services.gateway.http.gateway import Gateway, MinSeq
from services.gateway.reading import may_see
from services.gateway.store.documents import activity
from services.gateway.store.inbox import Inbox, Page, View
from services.gateway.store.search import Found
from services.gateway.words import NotSearchable, terms_of
from shared.contracts.resources import ConversationStatus
from shared.runtime.http import Caller, Json, Limit, Problem, route

MAX_CURSOR = 256


class ConversationRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/conversations")(self.listed)
        route(app, "GET", "/v1/conversations/{conversation_id}")(self.one)
        route(app, "GET", "/v1/conversations/{conversation_id}/messages")(self.thread)
        route(app, "GET", "/v1/counters")(self.counters)

    async def listed(
        self,
        principal: Caller,
        view: View = "all",
        status: ConversationStatus | None = None,
        limit: Limit = 50,
        after: str | None = None,
        q: str | None = None,
    ) -> Json:
        """Behind `next` may be more even where a search's page has fewer items than `limit`, or none."""
        inbox = Inbox(principal.workspace, principal.member_id, view, status)
        page = Page(limit, _read_cursor(after))
        # before the items: whatever is newer than they are comes after this position
        cursor = await self._stream_cursor(principal.workspace)
        found = await self._found(inbox, page, q)
        items = [plain(views.conversation(s, self._gateway.channels)) for s in found.states if may_see(principal, s)]
        return Json({"items": items, "next": found.more and _cursor(found.more), "stream_cursor": cursor})

    async def one(self, principal: Caller, conversation_id: str, min_seq: MinSeq = 0) -> Json:
        state = await self._gateway.reader.conversation(principal, conversation_id, min_seq)
        return Json(plain(views.conversation(state, self._gateway.channels)))

    async def thread(
        self,
        principal: Caller,
        conversation_id: str,
        before: Annotated[int, Query(ge=0, le=MAX_SEQ)] = MAX_SEQ,
        limit: Limit = 50,
        min_seq: MinSeq = 0,
    ) -> Json:
        """`seq` = how far the conversation is known; the items never go beyond it."""
        state = await self._gateway.reader.conversation(principal, conversation_id, min_seq)
        below = min(before, state.seq + 1)
        items = await self._gateway.inbox.thread(state.workspace, state.id, below, limit)
        following = items[0]["seq"] if items and items[0]["seq"] > max(1, state.erased_seq) else None
        return Json({"items": items, "next": following, "seq": state.seq})

    async def counters(self, principal: Caller) -> Json:
        return Json(asdict(await self._gateway.inbox.counts(principal.workspace, principal.member_id)))

    async def _found(self, inbox: Inbox, page: Page, q: str | None) -> Found:
        """A blank `q` is none; one without a letter or a digit finds nothing. Problem 422 for one that is too long."""
        if q is None or not q.strip():
            states = await self._gateway.inbox.page(inbox, page)
            return Found(states, activity(states[-1]) if len(states) == page.limit else None)
        try:
            terms = terms_of(q)
        except NotSearchable as error:
            fault = {"field": "q", "code": "too_long", "detail": str(error)}
            raise Problem(422, "INVALID", f"`q` can't be searched for: {error}.", errors=[fault]) from None
        return await self._gateway.search.page(inbox, page, terms) if terms else Found([], None)

    async def _stream_cursor(self, workspace: str) -> str:
        stream = self._gateway.stream
        offset = await self._gateway.reader.position(workspace)
        return stream.cursor_at(workspace, stream.partition_of(workspace), offset)


def _cursor(activity_of_last: str) -> str:
    return base64.urlsafe_b64encode(activity_of_last.encode()).decode()


def _read_cursor(text: str | None) -> str | None:
    """Only a place in the caller's own list, so it need not be signed. Problem 400 for what can't be one."""
    if text is None:
        return None
    try:
        if len(text) > MAX_CURSOR:
            raise ValueError
        return base64.b64decode(text.encode("ascii"), b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise Problem(400, "BAD_CURSOR", "`after` is not a `next` of this list.") from None
