"""Whatever is sent to an API, the answer is a documented one; every error is a problem with a stable code."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pymongo.errors
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from fastapi import Path as PathParam
from fastapi.responses import StreamingResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from relaydesk.api_documents import ASYNCAPI
from shared.runtime import http_boundary
from shared.runtime.auth import Principal
from shared.runtime.faults import Transient
from shared.runtime.http import Access, Caller, Json, api, route
from shared.runtime.metrics import Metrics
from shared.runtime.problems import Problem
from tests.unit.runtime.asgi import Answer, call
from tests.unit.runtime.tokens import UNLIMITED, gate, token

JSON = {"content-type": "application/json"}


class Said(BaseModel):
    text: str
    extra: Any = None
    sizes: list[int] = []


class Directory:
    """The token's role counts; `deactivated` members are refused."""

    def __init__(self) -> None:
        self.deactivated: set[str] = set()

    async def effective(self, principal: Principal) -> Principal:
        if principal.member_id in self.deactivated:
            raise Problem(403, "DEACTIVATED", "This member is deactivated in the workspace.")
        return principal


@dataclass
class Api:
    app: FastAPI
    metrics: Metrics
    members: Directory
    fault: Exception | None = None

    async def say(self, body: bytes | list[bytes], path: str = "/v1/conversations/c-1/notes", **headers: str) -> Answer:
        whole = {"authorization": f"Bearer {token()}", **JSON, **headers}
        return await call(self.app, "POST", path, body, {name.replace("_", "-"): text for name, text in whole.items()})

    async def get(self, path: str, **headers: str) -> Answer:
        return await call(self.app, "GET", path, headers=headers)


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> Api:
    folder: Path = tmp_path_factory.mktemp("keys")
    metrics, members, doors = Metrics(), Directory(), await gate(folder, **UNLIMITED)
    app = api("gateway", Access(doors.verifier, members, doors.limits), metrics)
    one = Api(app, metrics, members)

    @route(app, "POST", "/v1/conversations/{conversation_id}/notes", status=201, max_body=1000)
    async def note(conversation_id: str, said: Said, principal: Caller) -> dict[str, Any]:
        if one.fault is not None:
            raise one.fault
        return {"id": conversation_id, "by": principal.member_id, "text": said.text, "extra": said.extra}

    @route(app, "GET", "/v1/conversations")
    async def conversations(principal: Caller, limit: int = 50, q: str | None = None) -> Json:
        return Json({"items": [], "limit": limit, "q": q})

    @route(app, "PUT", "/v1/members/{member_id}")
    async def put_member(member_id: Annotated[str, PathParam(max_length=20)], principal: Caller) -> dict[str, str]:
        return {"id": member_id}

    @route(app, "GET", "/v1/me")
    async def me(request: Request, principal: Caller) -> dict[str, bool]:
        await request.body()
        return {"gone": await request.is_disconnected()}

    @route(app, "GET", "/v1/counters")
    async def counters(principal: Caller) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            await asyncio.sleep(0)
            yield b"two"

        return StreamingResponse(chunks())

    return one


@pytest.fixture(autouse=True)
def _healthy(served: Api) -> None:
    served.fault = None
    served.members.deactivated.clear()


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:relaydesk:problem:{code.lower().replace('_', '-')}"
    assert document["title"]
    assert document["detail"]
    return document


async def test_a_good_request_reaches_its_handler_with_its_caller(served: Api) -> None:
    answer = await served.say(b'{"text": "h\xc3\xa9"}')
    assert (answer.status, answer.json) == (201, {"id": "c-1", "by": "m-1", "text": "hé", "extra": None})


async def test_a_path_that_does_not_exist_is_a_problem(served: Api) -> None:
    problem(await served.get("/v1/nothing"), 404, "NOT_FOUND")
    problem(await served.get("/v1/conversations/"), 404, "NOT_FOUND")


async def test_a_method_that_does_not_exist_names_those_that_do(served: Api) -> None:
    answer = await call(served.app, "DELETE", "/v1/conversations")
    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("body", [b"{not json", b"\xff\xfe\x00", b"[" * 900, b'{"text": "\\ud800"}', b'{"text": NaN}'])
async def test_a_malformed_body_is_a_400(served: Api, body: bytes) -> None:
    problem(await served.say(body), 400, "MALFORMED")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_type_names_the_field_that_is_missing(served: Api, content_type: str) -> None:
    problem(await served.say(b'{"text": "x"}', **{"content-type": content_type}), 422, "INVALID")


async def test_depth_up_to_the_limit_is_fine(served: Api) -> None:
    deep = b'{"text": "x", "extra": ' + b"[" * 62 + b"]" * 62 + b"}"
    assert (await served.say(deep)).status == 201


async def test_invalid_fields_are_named_one_by_one_without_their_values(served: Api) -> None:
    document = problem(await served.say(b'{"sizes": [1, "private words"]}'), 422, "INVALID")
    assert [(error["field"], error["code"]) for error in document["errors"]] == [
        ("text", "missing"),
        ("sizes.1", "int_parsing"),
    ]
    assert "private words" not in json.dumps(document)
    answer = await served.get("/v1/conversations?limit=many", authorization=f"Bearer {token()}")
    assert problem(answer, 422, "INVALID")["errors"][0]["field"] == "limit"


@pytest.mark.parametrize("chunks", [[b"x" * 1001], [b"x" * 400] * 3, [b" " * 999, b"{}"]])
async def test_a_body_over_the_limit_is_refused_as_it_arrives(served: Api, chunks: list[bytes]) -> None:
    problem(await served.say(chunks), 413, "BODY_TOO_LARGE")


async def test_a_body_announced_as_too_large_is_refused_whatever_arrives(served: Api) -> None:
    problem(await served.say([b"{", b"}"], content_length="1001"), 413, "BODY_TOO_LARGE")
    problem(await served.say([b"{", b"}"], content_length="9" * 400), 413, "BODY_TOO_LARGE")


async def test_who_calls_is_asked_before_the_body_is_read(served: Api) -> None:
    answer = await call(served.app, "POST", "/v1/conversations/c-1/notes", b"x" * 5000, JSON)
    problem(answer, 401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(await served.say(b"{", authorization="Bearer x.y.z"), 401, "UNAUTHENTICATED")


async def test_a_role_that_may_not_is_refused(served: Api) -> None:
    for role, status in (("agent", 403), ("manager", 200)):
        headers = {"authorization": f"Bearer {token(role=role)}"}
        answer = await call(served.app, "PUT", "/v1/members/m-2", headers=headers)
        assert answer.status == status
    assert answer.json == {"id": "m-2"}


async def test_a_deactivated_member_is_refused(served: Api) -> None:
    served.members.deactivated.add("m-1")
    problem(await served.say(b'{"text": "x"}'), 403, "DEACTIVATED")


@pytest.mark.parametrize("odd", ["%00", "%00%ff", "%ff", "a%0ab", "%7f", "%1b[31m"])
async def test_an_odd_id_in_a_path_does_not_exist(served: Api, odd: str) -> None:
    problem(await served.say(b'{"text": "x"}', f"/v1/conversations/{odd}/notes"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "fault",
    [
        Transient("the broker"),
        pymongo.errors.AutoReconnect("gone"),
        pymongo.errors.ServerSelectionTimeoutError("gone"),
        pymongo.errors.OperationFailure("not primary", 10107),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
)
async def test_an_engine_away_is_a_503_that_may_be_retried(served: Api, fault: Exception) -> None:
    served.fault = fault
    answer = await served.say(b'{"text": "x"}')
    assert "same id" in problem(answer, 503, "UNAVAILABLE")["detail"]
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("fault", [ValueError("private words"), pymongo.errors.OperationFailure("private words", 2)])
async def test_a_fault_of_ours_is_a_500_that_shows_nothing_and_is_logged_once(
    served: Api, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[object] = []

    class Log:
        def error(self, event: str, exc_info: BaseException) -> None:
            logged.append(exc_info)

    monkeypatch.setattr(http_boundary, "_log", Log())
    served.fault = fault
    answer = await served.say(b'{"text": "x"}', x_request_id="req-7")
    document = problem(answer, 500, "INTERNAL")
    assert "private" not in json.dumps(document)
    assert document["request_id"] == answer.headers["x-request-id"] == "req-7"
    assert logged == [fault]


async def test_a_problem_of_a_handler_keeps_its_members(served: Api) -> None:
    served.fault = Problem(409, "STALE_VIEW", "A colleague answered.", missed=[4, 5])
    assert problem(await served.say(b'{"text": "x"}'), 409, "STALE_VIEW")["missed"] == [4, 5]


async def test_every_answer_has_a_request_id_and_odd_ones_are_not_taken_over(served: Api) -> None:
    given_id = await served.get("/v1/nothing", **{"x-request-id": "abc.1-2_3"})
    assert given_id.headers["x-request-id"] == "abc.1-2_3"
    for odd in ("", "a b", "x" * 65, '"'):
        assert (await served.get("/v1/nothing", **{"x-request-id": odd})).headers["x-request-id"] != odd


async def test_streamed_answers_pass_through(served: Api) -> None:
    assert (await served.get("/v1/counters", authorization=f"Bearer {token()}")).body == b"onetwo"


async def test_a_client_that_waits_for_its_answer_does_not_count_as_gone(served: Api) -> None:
    assert (await served.get("/v1/me", authorization=f"Bearer {token()}")).json == {"gone": False}


async def test_requests_are_counted_by_template_not_by_path(served: Api) -> None:
    await served.say(b'{"text": "x"}', "/v1/conversations/some-id/notes")
    await call(served.app, "BREW", "/v1/pot")
    shown = served.metrics.exposition().decode()
    assert 'route="/v1/conversations/{conversation_id}/notes",status="201"' in shown
    assert 'method="other",route="none",status="404"' in shown
    assert "some-id" not in shown


async def test_the_openapi_document_is_served(served: Api) -> None:
    answer = await served.get("/openapi.json")
    assert answer.status == 200
    assert set(answer.json["paths"]) == {
        "/v1/conversations",
        "/v1/conversations/{conversation_id}/notes",
        "/v1/members/{member_id}",
        "/v1/counters",
        "/v1/me",
    }


async def test_the_asyncapi_document_is_served_to_everybody_as_it_is_committed(served: Api) -> None:
    answer = await served.get("/asyncapi")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads(ASYNCAPI.read_text())
    assert (await call(served.app, "POST", "/asyncapi")).status == 405


@pytest.mark.parametrize(
    "register",
    [
        lambda app: route(app, "GET", "/v1/secret"),
        lambda app: route(app, "GET", "/v1/inbound/{channel_id}"),
        lambda app: app.get("/v1/secret")(lambda: None),
        lambda app: app.post("/v1/counters")(lambda: None),
    ],
)
def test_a_route_that_is_not_declared_for_this_service_cannot_be_registered(
    register: Callable[[FastAPI], object],
) -> None:
    app = api("gateway", None, Metrics())
    with pytest.raises(KeyError):
        register(app)


def test_a_route_with_roles_needs_an_access_check() -> None:
    with pytest.raises(KeyError, match="needs a caller"):
        route(api("gateway", None, Metrics()), "GET", "/v1/me")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200)
@given(body=st.binary(max_size=1200) | st.text(max_size=300).map(str.encode), path=st.binary(max_size=30))
async def test_any_bytes_get_a_documented_answer(served: Api, body: bytes, path: bytes) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in path)
    answer = await served.say(body, f"/v1/conversations/{quoted}/notes")
    assert answer.status in (201, 400, 404, 413, 422)
    if answer.status != 201:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "limit", "q"),
    [
        ("limit=&q=", 50, None),
        ("q=&limit=7", 7, None),
        ("limit=7&q=", 7, None),
        ("q=tea%20&limit=", 50, "tea "),
        ("q=a=&limit=7", 7, "a="),
        ("q", 50, ""),
    ],
)
async def test_an_empty_parameter_is_one_that_is_not_given(served: Api, query: str, limit: int, q: str | None) -> None:
    answer = await served.get(f"/v1/conversations?{query}", authorization=f"Bearer {token()}")
    assert answer.json == {"items": [], "limit": limit, "q": q}
