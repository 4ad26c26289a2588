"""The HTTP face of a service: only declared routes, the caller checked before the body is read, errors as problem+json.

Knows nothing of any service's rules. What a handler gets is authenticated, role-checked, size-limited and parsed.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from shared.contracts.routes import Route, find
from shared.runtime import asyncapi
from shared.runtime.auth import MemberDirectory, Principal, Verifier, bearer, require_role
from shared.runtime.http_boundary import Boundary, Direct, DirectHandler, answer
from shared.runtime.json_body import limited_body, parse_json
from shared.runtime.limits import CallerLimits
from shared.runtime.metrics import Metrics
from shared.runtime.openapi import describe
from shared.runtime.problems import Problem, not_found, unavailable
from shared.runtime.traced_requests import TracedRequests
from shared.runtime.tracing import OFF, Tracing

DEFAULT_MAX_BODY = 1 << 20
MAX_LIMIT = 200
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own believes the caller's trace context and tells texts of exceptions; the Boundary does neither."""

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
"""Items of a page."""

Handler = TypeVar("Handler", bound=Callable[..., Any])
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class Access:
    """How callers are known: tokens by the verifier, current roles by the directory; and how often each may ask."""

    def __init__(self, verifier: Verifier, members: MemberDirectory, limits: CallerLimits) -> None:
        self._verifier = verifier
        self._members = members
        self._limits = limits

    async def principal(self, request: Request, route: Route) -> Principal:
        """The caller of a route with roles. Problem 401, 403, 429 or 503."""
        assert route.roles is not None
        verified = self._verifier.verify(bearer(request.headers.get("authorization")))
        self._limits.admit(verified)
        principal = await self._members.effective(verified)
        require_role(principal, route.roles)
        return principal


def api(service: str, access: Access | None, metrics: Metrics, tracing: Tracing = OFF) -> FastAPI:
    """An application whose every answer >= 400 is a problem. `access` may be None where no route has roles.

    Beside the declared routes it answers `/openapi.json`, of its own ones, and `/asyncapi`, of all topics.
    """
    app = FastAPI(
        title=f"Relaydesk {service}", docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY
    )
    app.router.route_class = _DeclaredRoute
    app.add_route("/asyncapi", _topics)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.state.service, app.state.access, app.state.direct = service, access, {}
    traced = TracedRequests(tracing)
    app.add_middleware(Boundary, service=service, metrics=metrics, direct=app.state.direct, traced=traced)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


def route(
    app: FastAPI, method: str, path: str, *, status: int = 200, max_body: int = DEFAULT_MAX_BODY
) -> Callable[[Handler], Handler]:
    """Register a handler for a route of `shared.contracts.routes`; KeyError for any other.

    The handler takes the caller as `principal: Caller`. Its return annotation is the response model (pydantic
    serializes it); a `Response` is sent as it is. `max_body` in bytes: more is 413 `BODY_TOO_LARGE`.
    """
    declared = find(method, path)
    if declared.service != app.state.service:
        raise KeyError(f"{method} {path} belongs to {declared.service}, not to {app.state.service}")
    if declared.roles is not None and app.state.access is None:
        raise KeyError(f"{method} {path} needs a caller, but this application has no access check")

    def register(handler: Handler) -> Handler:
        app.add_api_route(path, handler, methods=[method], status_code=status, summary=declared.summary)
        added = app.routes[-1]
        assert isinstance(added, _DeclaredRoute)
        added.max_body = max_body
        return handler

    return register


def direct_route(
    app: FastAPI, method: str, path: str, handler: DirectHandler, *, status: int, max_body: int = DEFAULT_MAX_BODY
) -> None:
    """As `route`, answered before FastAPI's machinery, which costs more than a short handler does.

    For routes without roles whose path ends in their one parameter; ValueError for any other.
    """
    start, _, parameter = path.rpartition("/")
    if find(method, path).roles is not None or "{" in start or not parameter.startswith("{"):
        raise ValueError(f"{method} {path} needs the whole way: register it with `route`")

    async def documented(request: Request) -> Response:
        return await handler(request.path_params[parameter[1:-1]], request.headers, await request.body())

    route(app, method, path, status=status, max_body=max_body)(documented)
    app.state.direct[method, start] = Direct(path, handler, max_body)


def caller(request: Request) -> Principal:
    principal = request.state.principal
    assert isinstance(principal, Principal)
    return principal


Caller = Annotated[Principal, Depends(caller)]


class Json(Response):
    """An answer of plain data (dicts, lists, texts, numbers), as JSON."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return orjson.dumps(content)


class _JsonRequest(Request):
    """A request whose body is in memory already and whose JSON is parsed strictly."""

    async def json(self) -> Any:
        return parse_json(await self.body())


class _DeclaredRoute(APIRoute):
    """Checks the caller, then reads the body up to its limit, then lets FastAPI validate and call the handler."""

    max_body = DEFAULT_MAX_BODY

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()
        declared = find(next(iter(self.methods or ("GET",))), self.path)

        async def checked(request: Request) -> Response:
            request.state.route = self.path
            if declared.roles is not None:
                request.state.principal = await request.app.state.access.principal(request, declared)
            body = await limited_body(request, self.max_body)
            return await handle(_JsonRequest(request.scope, _replay(body, request)))

        return checked


def _replay(body: bytes, request: Request) -> Callable[[], Awaitable[Any]]:
    """The body once more, then whatever the connection says next (a disconnect)."""
    given = False

    async def receive() -> Any:
        nonlocal given
        if given:
            return await request.receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _topics(request: Request) -> Response:
    return Response(asyncapi.as_bytes(), media_type="application/json")


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return answer(not_found("There is nothing at this path."))
    if error.status_code == 405:
        return answer(Problem(405, "METHOD_NOT_ALLOWED", f"{request.method} does not exist here.", headers=headers))
    return answer(Problem(error.status_code, "MALFORMED", "The request cannot be read.", headers=headers))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(Problem(400, "MALFORMED", "The body is not JSON: " + str(faults[0]["ctx"]["error"]) + "."))
    errors = [{"field": _field(fault["loc"]), "code": fault["type"], "detail": fault["msg"]} for fault in faults[:100]]
    return answer(Problem(422, "INVALID", "The request has invalid fields.", errors=errors))


def _field(loc: tuple[int | str, ...]) -> str:
    """`("body", "items", 0, "name")` -> `items.0.name`; a parameter keeps its name alone."""
    return ".".join(str(part) for part in loc[1:]) or str(loc[0])


__all__ = ["Access", "Caller", "Json", "Limit", "Problem", "api", "not_found", "route", "unavailable"]
