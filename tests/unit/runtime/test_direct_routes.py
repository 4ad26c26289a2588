"""A route that is answered before the framework's machinery behaves as any other."""

import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import Response

from shared.runtime.faults import Transient
from shared.runtime.http import Json, api, direct_route
from shared.runtime.metrics import Metrics
from shared.runtime.problems import not_found
from tests.unit.runtime.asgi import Answer, call

PATH = "/v1/inbound/{channel_id}"


async def take(channel_id: str, headers: Headers, body: bytes) -> Response:
    match channel_id:
        case "gone":
            raise not_found("There is no such channel.")
        case "away":
            raise Transient("Kafka does not answer")
        case "broken":
            raise ZeroDivisionError
    return Json({"channel": channel_id, "signed": headers.get("Webhook-Signature"), "bytes": len(body)}, 202)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def app(metrics: Metrics) -> FastAPI:
    app = api("ingest", None, metrics)
    direct_route(app, "POST", PATH, take, status=202, max_body=1000)
    return app


async def post(app: FastAPI, channel: str, body: bytes = b"{}") -> Answer:
    return await call(app, "POST", f"/v1/inbound/{channel}", body, headers={"webhook-signature": "v1,x"})


async def test_it_gets_its_parameter_its_headers_and_its_body(app: FastAPI) -> None:
    answer = await post(app, "c-1", b"\xff" * 1000)
    assert (answer.status, answer.json) == (202, {"channel": "c-1", "signed": "v1,x", "bytes": 1000})
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("channel", "status", "code"),
    [
        ("gone", 404, "NOT_FOUND"),
        ("away", 503, "UNAVAILABLE"),
        ("broken", 500, "INTERNAL"),
        ("", 404, "NOT_FOUND"),
        ("a/b", 404, "NOT_FOUND"),
        ("c\x00", 404, "NOT_FOUND"),
    ],
)
async def test_what_goes_wrong_is_a_problem(app: FastAPI, channel: str, status: int, code: str) -> None:
    answer = await post(app, channel)
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_a_body_over_the_limit_is_refused(app: FastAPI) -> None:
    answer = await post(app, "c-1", b" " * 1001)
    assert (answer.status, answer.json["code"]) == (413, "BODY_TOO_LARGE")


async def test_another_method_is_not_allowed(app: FastAPI) -> None:
    answer = await call(app, "DELETE", "/v1/inbound/c-1", b"", headers={})
    assert (answer.status, answer.json["code"], answer.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")


async def test_it_is_counted_by_its_template_and_documented(app: FastAPI, metrics: Metrics) -> None:
    await post(app, "c-1")
    await post(app, "gone")
    shown = metrics.exposition().decode()
    assert f'method="POST",route="{PATH}",status="202"}} 1.0' in shown
    assert f'method="POST",route="{PATH}",status="404"}} 1.0' in shown
    document = await call(app, "GET", "/openapi.json", b"", headers={})
    assert set(document.json["paths"]) == {PATH}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/channels/{channel_id}"), ("GET", "/v1/channels"), ("POST", "/v1/inbound")]
)
def test_other_routes_take_the_whole_way(method: str, path: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        direct_route(api("ingest", None, Metrics()), method, path, take, status=200)
