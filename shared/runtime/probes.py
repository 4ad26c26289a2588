"""The probe port of a service: its health and its metrics. Plain ASGI; knows only Health and Metrics."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from shared.runtime.component import ASGIApp, Receive, Scope, Send
from shared.runtime.health import Health
from shared.runtime.metrics import Metrics
from shared.version import VERSION

PATHS = ("/startupz", "/healthz", "/readyz", "/metrics")


def probe_app(service: str, health: Health, metrics: Metrics) -> ASGIApp:
    ready = metrics.gauge("ready")

    async def answer(path: str) -> Response:
        match path:
            case "/startupz":
                body = {"service": service, "version": VERSION, "started": health.started}
                return _json(200 if health.started else 503, body)
            case "/healthz":
                stuck = health.stuck()
                return _json(503 if stuck else 200, {"service": service, "alive": not stuck, "stuck": stuck})
            case "/readyz":
                missing = await health.missing()
                ready.set(not missing)
                return _json(503 if missing else 200, {"service": service, "ready": not missing, "missing": missing})
            case "/metrics":
                return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
            case _:
                return _json(404, {"service": service, "paths": PATHS})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await (await answer(Request(scope).url.path))(scope, receive, send)

    return app


def _json(status: int, content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
