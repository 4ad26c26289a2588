"""The documents of the API are the code's, valid, and complete: every route, every topic, every record."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from relaydesk.api_documents import FOLDER, as_text, files, openapi
from shared.contracts.answers import ANSWERS, problems_of
from shared.contracts.errors import ERRORS
from shared.contracts.routes import ROUTES
from shared.contracts.schema_files import models
from shared.contracts.topics import TOPICS
from shared.runtime.asyncapi import asyncapi

HINT = "run `python -m relaydesk.api_documents`"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi()


def test_the_committed_documents_are_written_from_the_code() -> None:
    for file, text in files().items():
        assert file.read_text() == text, HINT


def test_the_page_shows_every_route_and_every_topic_and_runs_nothing() -> None:
    page = (FOLDER / "index.html").read_text()
    assert all(f"<code>{route.method} {route.path}</code>" in page for route in ROUTES)
    assert all(f"<code>{name}</code>" in page for name in TOPICS)
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert set(anchors) <= set(re.findall(r'id="([^"]+)"', page))
    assert not re.search(r"<script|style=|\bon\w+=", page)


def test_openapi_is_valid_by_its_specification(document: dict[str, Any]) -> None:
    validate(document, cls=OpenAPIV31SpecValidator)


def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    described = {(m.upper(), path) for path, operations in document["paths"].items() for m in operations}
    assert described == {(route.method, route.path) for route in ROUTES}
    assert set(ANSWERS) == {f"{route.method} {route.path}" for route in ROUTES}


def test_who_may_call_and_what_comes_back_is_said(document: dict[str, Any]) -> None:
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["security"] == ([{"bearer": []}] if route.roles is not None else [])
        assert operation["tags"] == [route.service]
        assert {"500", "503"} <= set(operation["responses"])
        assert {"401", "429"} <= set(operation["responses"]) or route.roles is None
        assert "Retry-After" in operation["responses"].get("429", {"headers": "Retry-After"})["headers"]
        assert operation["summary"] == route.summary


def test_problems_are_codes_that_are() -> None:
    for route in ROUTES:
        for status, codes in problems_of(route, takes_body=True, takes_parameters=True).items():
            assert all(ERRORS[code].status == status for code in codes)
        assert set(ANSWERS[f"{route.method} {route.path}"].problems.split()) <= set(ERRORS)


def test_no_text_that_a_member_may_send_takes_a_nul(document: dict[str, Any]) -> None:
    texts = list(_texts_taken(document))
    assert len(texts) > 30
    assert [place for place, pattern in texts if pattern is None or re.search(pattern, "a\0b")] == []


def _texts_taken(document: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body and route.roles is not None:
            yield from _texts(document, body["schema"], f"{route.method} {route.path}")


def _texts(document: dict[str, Any], schema: dict[str, Any], place: str) -> Iterator[tuple[str, str | None]]:
    """(place, pattern) of every string within that is not one of a few."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "string" and not {"enum", "const"} & set(schema):
        yield place, schema.get("pattern")
    for name, part in (schema.get("properties", {}) | schema.get("patternProperties", {})).items():
        yield from _texts(document, part, f"{place} {name}")
    for part in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), schema.get("items")]:
        if part:
            yield from _texts(document, part, place)


def test_asyncapi_has_every_topic_and_every_record() -> None:
    document = asyncapi()
    assert {channel["address"] for name, channel in document["channels"].items() if name != "stream"} == set(TOPICS)
    assert {message["name"] for message in document["components"]["messages"].values()} == set(models())
    carried = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert carried == set(document["components"]["messages"]), "a record that no topic carries"


@pytest.mark.parametrize("make", [openapi, asyncapi])
def test_every_reference_leads_somewhere(make: Any) -> None:
    document = make()

    def follow(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                place = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    place = place[part]
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for value in node:
                follow(value)

    follow(json.loads(as_text(document)))
