"""The API as documents: `python -m relaydesk.api_documents` writes docs/api: openapi.json, asyncapi.json, and a page.

OpenAPI 3.1 of all services as one, as they stand behind one address; AsyncAPI 3 of the topics and of the live stream.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict

from relaydesk import api_page
from relaydesk.installation import fresh_secrets
from relaydesk.services import SERVICES, builder_of, settings_of
from shared.contracts.routes import ROUTES
from shared.runtime.asyncapi import SUMMARY, asyncapi
from shared.runtime.settings import Settings
from shared.version import VERSION

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "api"
OPENAPI, ASYNCAPI = FOLDER / "openapi.json", FOLDER / "asyncapi.json"
METHODS_IN_ORDER = {f"{route.method} {route.path}": number for number, route in enumerate(ROUTES)}

Document = dict[str, Any]


def openapi() -> Document:
    """The documents of all services as one. Raises ValueError where two of them give one name to different things."""
    documents = asyncio.run(_of_services())
    merged: Document = {
        "openapi": "3.1.0",
        "info": {"title": "Relaydesk", "version": VERSION, "summary": SUMMARY},
        "servers": [{"url": "/"}],
        "tags": [{"name": service} for service in documents],
        "paths": {},
        "components": {"schemas": {}, "securitySchemes": {}},
    }
    for document in documents.values():
        for path, operations in document.get("paths", {}).items():
            merged["paths"].setdefault(path, {}).update(operations)
        for kind, named in document["components"].items():
            for name, value in named.items():
                if merged["components"][kind].setdefault(name, value) != value:
                    raise ValueError(f"two services call different things {name}")
    merged["paths"] = dict(sorted(merged["paths"].items(), key=lambda item: _place(*item)))
    return merged


def _place(path: str, operations: Document) -> int:
    return min(METHODS_IN_ORDER[f"{method.upper()} {path}"] for method in operations)


async def _of_services() -> dict[str, Document]:
    """Built as they run, connected to nothing."""
    found: dict[str, Document] = {}
    for name in SERVICES:
        app = builder_of(name)(_settings(settings_of(name))).http
        assert isinstance(app, FastAPI)
        if document := app.openapi():
            found[name] = document
    return found


def _settings(kind: type[Settings]) -> Settings:
    class Given(kind):  # type: ignore[valid-type, misc]
        """Of these values alone, whatever the environment says."""

        model_config = SettingsConfigDict(env_prefix="NOBODY_SETS_")

    given = {name.removeprefix("RELAYDESK_").lower(): value for name, value in fresh_secrets().items()}
    given |= {"s3_access_key": "-", "s3_secret_key": "-", "jwt_jwks_url": "http://127.0.0.1:9/"}
    return Given(**{name: value for name, value in given.items() if name in kind.model_fields})


def files() -> dict[Path, str]:
    """All that is committed, by where it stands."""
    of_http, of_topics = openapi(), asyncapi()
    documents = {OPENAPI: as_text(of_http), ASYNCAPI: as_text(of_topics)}
    return documents | {FOLDER / "index.html": api_page.page(of_http, of_topics), FOLDER / "style.css": api_page.STYLE}


def as_text(document: Document) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in files().items():
        file.write_text(text)
