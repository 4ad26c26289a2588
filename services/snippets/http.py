"""The routes of snippets: add, change, find, render."""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from services.snippets.bodies import PreviewBody, RenderBody, SnippetBody
from services.snippets.contacts import ContactCopy
from services.snippets.core import Missing, Rendered, Template, UnknownVariable, values_of
from services.snippets.search import BadPlace, Shelves
from services.snippets.shelf import NO_ROOM, Draft, Snippet, changed, drafted
from services.snippets.store import Full, NameTaken, SnippetStore, Stale
from shared.contracts.resources import Contact
from shared.contracts.times import to_timestamp
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.etags import IfMatch, check_if_match, etag, stale
from shared.runtime.http import Caller, Json, Limit, Problem, not_found, route
from shared.runtime.metrics import Metrics

MAX_QUERY = 200
MAX_CURSOR = 4_096

Asked = Annotated[str, Query(max_length=MAX_QUERY)]
After = Annotated[str, Query(max_length=MAX_CURSOR)]


@dataclass(frozen=True)
class SnippetRoutes:
    store: SnippetStore
    shelves: Shelves
    contacts: ContactCopy
    clock: Clock
    metrics: Metrics

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/snippets")(self.listed)
        route(app, "POST", "/v1/snippets", status=201)(self.create)
        route(app, "GET", "/v1/snippets/themes")(self.themes)
        route(app, "POST", "/v1/snippets/preview")(self.preview)
        route(app, "GET", "/v1/snippets/{snippet_id}")(self.read)
        route(app, "PUT", "/v1/snippets/{snippet_id}")(self.put)
        route(app, "DELETE", "/v1/snippets/{snippet_id}", status=204)(self.delete)
        route(app, "POST", "/v1/snippets/{snippet_id}/render")(self.render)

    async def listed(
        self, principal: Caller, q: Asked = "", theme: Asked | None = None, limit: Limit = 50, after: After = ""
    ) -> Json:
        shelf = await self.shelves.of(principal.workspace)
        try:
            page = await asyncio.to_thread(shelf.page, q, theme, limit, after)
        except BadPlace:
            raise Problem(400, "BAD_CURSOR", "`after` is none of our cursors; start again without it.") from None
        found = await self.store.find_all(principal.workspace, page.idents)
        return Json({"items": [shown(snippet) for snippet in found], "next": page.following, "total": page.total})

    async def themes(self, principal: Caller) -> Json:
        shelf = await self.shelves.of(principal.workspace)
        return Json({"items": [{"theme": theme, "count": count} for theme, count in shelf.themes()], "next": None})

    async def create(self, principal: Caller, body: SnippetBody) -> Json:
        now = self.clock.now()
        ident = str(uuid.uuid4())
        snippet = Snippet(principal.workspace, ident, _drafted(body), version=1, uses=0, updated_at=to_timestamp(now))
        try:
            await self.store.add(snippet, principal.actor, now)
        except Full:
            raise full() from None
        except NameTaken:
            raise _name_taken() from None
        return _answered(snippet, 201)

    async def read(self, principal: Caller, snippet_id: str) -> Json:
        return _answered(await self._found(principal, snippet_id))

    async def put(self, principal: Caller, snippet_id: str, body: SnippetBody, if_match: IfMatch = None) -> Json:
        before = await self._found(principal, snippet_id)
        check_if_match(before.version, if_match)
        now = self.clock.now()
        after = changed(before, _drafted(body), to_timestamp(now))
        if after is not before:
            try:
                await self.store.put(after, principal.actor, now)
            except NameTaken:
                raise _name_taken() from None
            except Stale:
                raise stale() from None
        return _answered(after)

    async def delete(self, principal: Caller, snippet_id: str, if_match: IfMatch = None) -> Response:
        snippet = await self._found(principal, snippet_id)
        check_if_match(snippet.version, if_match)
        try:
            await self.store.remove(snippet, principal.actor, self.clock.now())
        except Stale:
            raise stale() from None
        return Response(status_code=204)

    async def render(self, principal: Caller, snippet_id: str, body: RenderBody) -> Json:
        snippet = await self._found(principal, snippet_id)
        contact = await self._contact(principal, body.contact_id)
        rendered = _rendered(snippet.draft.message, snippet.draft.missing, contact)
        self.metrics.counter("snippets_rendered", outcome="missing" if rendered.missing else "ok").inc()
        if snippet.draft.missing == "block" and rendered.missing:
            raise _missing(rendered)
        await self.store.used(snippet, self.clock.now())
        return _shown_rendering(rendered, contact)

    async def preview(self, principal: Caller, body: PreviewBody) -> Json:
        contact = await self._contact(principal, body.contact_id)
        return _shown_rendering(_rendered(body.message, body.policy, contact), contact)

    async def _found(self, principal: Principal, ident: str) -> Snippet:
        snippet = await self.store.find(principal.workspace, ident)
        if snippet is None:
            raise not_found("There is no such snippet.")
        return snippet

    async def _contact(self, principal: Principal, ident: str) -> Contact:
        contact = await self.contacts.contact(principal.workspace, ident)
        if contact is None:
            raise not_found("There is no such contact, or it isn't known here yet: try again in a moment.")
        return contact


def shown(snippet: Snippet) -> dict[str, Any]:
    return snippet.shown().model_dump(mode="json")


def _answered(snippet: Snippet, status: int = 200) -> Json:
    return Json(shown(snippet), status, etag(snippet.version))


def _drafted(body: SnippetBody) -> Draft:
    try:
        return drafted(body.name, body.message, body.theme, body.policy)
    except UnknownVariable as unknown:
        raise _unknown(unknown) from None


def _rendered(message: str, missing: Missing, contact: Contact) -> Rendered:
    try:
        return Template(message).render(values_of(contact), missing)
    except UnknownVariable as unknown:
        raise _unknown(unknown) from None


def _shown_rendering(rendered: Rendered, contact: Contact) -> Json:
    variables = [{"name": use.name, "value": use.value, "status": use.status} for use in rendered.variables]
    return Json({"text": rendered.text, "variables": variables, "contact_version": contact.version})


def full() -> Problem:
    return Problem(409, "LIMIT_REACHED", NO_ROOM)


def _name_taken() -> Problem:
    return Problem(409, "NAME_TAKEN", "Another snippet of the workspace has this name.")


def _missing(rendered: Rendered) -> Problem:
    names = ", ".join(f"${name}" for name in rendered.missing)
    return Problem(409, "MISSING_VALUE", f"The contact has no value for {names}.", variables=rendered.missing)


def _unknown(unknown: UnknownVariable) -> Problem:
    fault = {"field": "message", "code": "UNKNOWN_VARIABLE", "detail": str(unknown), "position": unknown.position}
    return Problem(422, "UNKNOWN_VARIABLE", f"The message: {unknown}.", errors=[fault])
