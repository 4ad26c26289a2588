"""The routes of whole files: all snippets as CSV, and a CSV file of snippets, how far it is where wanted."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from services.snippets import interchange
from services.snippets.http import full
from services.snippets.importing import Busy, Importer, Plan, Progress, Tell, silent
from services.snippets.interchange import Fault, Sheet
from services.snippets.shelf import NO_ROOM
from services.snippets.store import Full, SnippetStore
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.http import Caller, Json, Problem, route, unavailable
from shared.runtime.tasks import ended

log = structlog.stdlib.get_logger(__name__)

MAX_FILE = 32 << 20
"""Bytes of a CSV file."""

LINES = "application/x-ndjson"


@dataclass(frozen=True)
class FileRoutes:
    store: SnippetStore
    importer: Importer
    clock: Clock

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/snippets/export")(self.export)
        route(app, "POST", "/v1/snippets/import", max_body=MAX_FILE)(self.take)

    async def export(self, principal: Caller) -> Response:
        _, snippets = await self.store.contents(principal.workspace)
        ordered = sorted(snippets, key=lambda one: one.draft.name_key)
        headers = {"Content-Disposition": 'attachment; filename="snippets.csv"', "X-Content-Type-Options": "nosniff"}
        return Response(await asyncio.to_thread(interchange.write, ordered), 200, headers, "text/csv; charset=utf-8")

    async def take(self, principal: Caller, request: Request, dry_run: bool) -> Response:
        """A dry run says what would happen, faults included; otherwise faults refuse the whole file."""
        content = await _csv(request)
        if LINES in request.headers.get("accept", ""):
            return StreamingResponse(self._lines(principal, content, dry_run), media_type=LINES)
        return Json(await self._taken(principal, content, dry_run, silent))

    async def _taken(self, principal: Principal, content: bytes, dry_run: bool, tell: Tell) -> dict[str, Any]:
        loop = asyncio.get_running_loop()

        def read_so_far(rows: int) -> None:  # in the reading thread
            loop.call_soon_threadsafe(tell, Progress("reading", rows, None))

        sheet = await asyncio.to_thread(interchange.read, content, read_so_far)
        if sheet.faults and not dry_run:
            raise Problem(422, "INVALID", "The file has faults; nothing was taken.", errors=_shown_faults(sheet))
        plan = Plan([], [], 0) if sheet.faults else await self._planned(principal, sheet, dry_run, tell)
        counts = {"added": len(plan.added), "updated": len(plan.updated), "unchanged": plan.unchanged}
        errors = _shown_faults(sheet) + ([_no_room(plan.beyond)] if dry_run and plan.beyond is not None else [])
        return {"rows": len(sheet.rows), **counts, "errors": errors}

    async def _planned(self, principal: Principal, sheet: Sheet, dry_run: bool, tell: Tell) -> Plan:
        now = self.clock.now()
        if dry_run:
            return await self.importer.plan(principal.workspace, sheet.rows, now)
        try:
            return await self.importer.take(principal.workspace, sheet.rows, principal.actor, now, tell)
        except Full:
            raise full() from None
        except Busy:
            raise Problem(409, "CONFLICT", "Others change the same snippets; nothing was taken.") from None

    async def _lines(self, principal: Principal, content: bytes, dry_run: bool) -> AsyncIterator[bytes]:
        """How far it is, line by line; the last line is the result or the problem. Who leaves has it undone."""
        told: asyncio.Queue[Progress | None] = asyncio.Queue()
        work = asyncio.create_task(self._taken(principal, content, dry_run, told.put_nowait))
        work.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (progress := await told.get()) is not None:
                yield orjson.dumps({"progress": dataclasses.asdict(progress)}) + b"\n"
            yield orjson.dumps(_outcome(work)) + b"\n"
        finally:
            await ended([work])


def _outcome(work: "asyncio.Task[dict[str, Any]]") -> dict[str, Any]:
    error = work.exception()
    if error is None:
        return {"result": work.result()}
    if isinstance(error, Problem):
        return {"problem": orjson.loads(error.body())}
    if isinstance(error, Exception) and is_away(error):
        return {"problem": orjson.loads(unavailable().body())}
    log.error("an import failed", exc_info=error)
    return {"problem": orjson.loads(Problem(500, "INTERNAL", "A fault of ours; it is logged.").body())}


async def _csv(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "Send the file as `text/csv`.")
    return await request.body()


def _no_room(line: int) -> dict[str, Any]:
    return dataclasses.asdict(Fault(line, "", "LIMIT_REACHED", NO_ROOM))


def _shown_faults(sheet: Sheet) -> list[dict[str, Any]]:
    return [dataclasses.asdict(fault) for fault in sheet.faults]
