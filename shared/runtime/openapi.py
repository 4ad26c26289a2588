"""The OpenAPI document of a service: parameters and bodies as FastAPI knows them, answers as in the contract."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared.contracts.answers import ANSWERS, Answer, answer_of, problems_of
from shared.contracts.errors import ERRORS
from shared.contracts.routes import Route, find
from shared.runtime.problems import CONTENT_TYPE
from shared.version import VERSION

Document = dict[str, Any]
REF = "#/components/schemas/{model}"
BEARER = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
BODIES = {"POST /v1/snippets/import": "text/csv", "POST /v1/inbound/{channel_id}": "application/json"}
"""Bodies that the handlers read themselves, by media type."""
EVENTS = {
    "type": "object",
    "description": "Kind `webhook`: 1 to 1,000 events as in docs/channels.md; other kinds: as their vendor sends.",
    "required": ["events"],
    "properties": {
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"enum": ["message", "receipt", "contact", "edit", "delete"]}},
            },
        }
    },
}
SIGNATURE = ("webhook-id", "webhook-timestamp", "webhook-signature")


def describe(app: FastAPI) -> Document:
    """OpenAPI 3.1, made once; serve it as it is."""
    document: Document = get_openapi(title=app.title, version=VERSION, routes=_declared(app))
    names, schemas = _forms()
    paths: Document = document.get("paths", {})
    for path, operations in paths.items():
        for method, operation in operations.items():
            _complete(operation, find(method.upper(), path), names)
    used = document.setdefault("components", {}).setdefault("schemas", {})
    used.update(schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        used.pop(unused, None)
    used["Problem"] = _problem([code for code, row in ERRORS.items() if row.status is not None])
    document["components"]["schemas"] = _reachable(paths, used)
    document["components"]["securitySchemes"] = BEARER
    return document


def _declared(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]


def _forms() -> tuple[dict[type[BaseModel], str], Document]:
    """Model -> its name in the document, and all their schemas."""
    models = {form for answer in ANSWERS.values() for form in (answer.form, *(form for _, form in answer.also)) if form}
    ordered = sorted(models, key=lambda model: model.__name__)
    mapping, definitions = models_json_schema(
        [(model, "serialization") for model in ordered], ref_template=REF, schema_generator=GenerateJsonSchema
    )
    names = {model: mapping[model, "serialization"]["$ref"].rpartition("/")[2] for model in ordered}
    return names, definitions.get("$defs", {})


def _complete(operation: Document, route: Route, names: Mapping[type[BaseModel], str]) -> None:
    answer = answer_of(route)
    if media_type := BODIES.get(f"{route.method} {route.path}"):
        schema = {"type": "string"} if media_type.startswith("text/") else EVENTS
        operation["requestBody"] = {"required": True, "content": {media_type: {"schema": schema}}}
    if route.path == "/v1/inbound/{channel_id}" and route.method == "POST":
        operation.setdefault("parameters", []).extend(_header(name) for name in SIGNATURE)
    if route.path.count("{") and not any(p["in"] == "path" for p in operation.get("parameters", ())):
        name = route.path.partition("{")[2].partition("}")[0]
        operation.setdefault("parameters", []).append(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        )
    operation["tags"] = [route.service]
    operation["operationId"] = _operation_id(route)
    operation["security"] = [{"bearer": []}] if route.roles is not None else []
    if route.roles is not None:
        operation["x-roles"] = sorted(route.roles)
    operation["responses"] = _successes(answer, names) | _problems(operation, route)


def _header(name: str) -> Document:
    return {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}


def _operation_id(route: Route) -> str:
    """`POST /v1/conversations/{conversation_id}/notes` -> `post_conversations_conversation_id_notes`"""
    words = route.path.removeprefix("/v1/").replace("{", "").replace("}", "").replace("/", "_").replace("-", "_")
    return f"{route.method.lower()}_{words}"


def _successes(answer: Answer, names: Mapping[type[BaseModel], str]) -> Document:
    found: Document = {}
    for status, form in ((answer.status, answer.form), *answer.also):
        described: Document = {"description": _MEANING[status]}
        if form is not None:
            described["content"] = {"application/json": {"schema": {"$ref": REF.format(model=names[form])}}}
        elif status == 200:
            described["content"] = {answer.media_type: {"schema": {"type": "string"}}}
        if status in (202, 302):
            described["headers"] = {"Location": {"schema": {"type": "string"}, "description": "where to look"}}
        found[str(status)] = described
    return found


_MEANING = {200: "Done", 201: "Made", 202: "Accepted", 204: "Done; there is nothing to say", 302: "It is there"}


def _problems(operation: Document, route: Route) -> Document:
    parameters = [p for p in operation.get("parameters", ()) if p["in"] in ("query", "header")]
    found = problems_of(route, "requestBody" in operation, bool(parameters))
    return {str(status): _refusal(codes) for status, codes in sorted(found.items())}


def _refusal(codes: list[str]) -> Document:
    schema = {
        "allOf": [{"$ref": REF.format(model="Problem")}, {"properties": {"code": {"enum": codes}}}],
    }
    titles = "; ".join(f"`{code}`: {ERRORS[code].title}" for code in codes)
    described: Document = {"description": titles, "content": {CONTENT_TYPE: {"schema": schema}}}
    if "TOO_MANY_REQUESTS" in codes:
        seconds = {"schema": {"type": "integer", "minimum": 1}, "description": "seconds to wait"}
        described["headers"] = {"Retry-After": seconds}
    return described


def _problem(codes: list[str]) -> Document:
    """RFC 9457, with our code."""
    text = {"type": "string"}
    return {
        "type": "object",
        "title": "Problem",
        "description": "RFC 9457. `code` is stable; further members depend on it.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": codes},
            "detail": text,
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    }


def _reachable(paths: Document, schemas: Document) -> Document:
    """Only what some path refers to, in the order of names."""
    found: set[str] = set()
    ahead = list(_references(paths))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += _references(schemas[name])
    return {name: schemas[name] for name in sorted(found)}


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
        return own + [name for value in node.values() for name in _references(value)]
    return [name for value in node for name in _references(value)] if isinstance(node, list) else []
