"""Static pages: the console under `/console/`, the documents of the API under `/docs/`. Their headers allow them their
own scripts and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "console"
DOCUMENTS = ROOT / "docs" / "api"
CLIENTS = ROOT / "clients" / "js"
"""What the pages import from `/console/clients/`: the published client of the stream."""


def add_console(app: FastAPI, pages: Path, origins: Sequence[str]) -> None:
    """`origins`: where the pages may connect to and take media from, beside their own: the stream's and S3's."""

    async def with_slash(request: Request) -> Response:
        return RedirectResponse("/console/", 308)

    app.add_route("/console", with_slash)
    csp = policy(origins)
    app.mount("/console/clients", ConsolePages(CLIENTS, csp))
    app.mount("/console", ConsolePages(pages, csp))


def add_documents(app: FastAPI) -> None:
    """`/docs/`: the page, `openapi.json` and `asyncapi.json` of all services."""

    async def with_slash(request: Request) -> Response:
        return RedirectResponse("/docs/", 308)

    app.add_route("/docs", with_slash)
    app.mount("/docs", ConsolePages(DOCUMENTS, policy(())))


def policy(origins: Sequence[str]) -> str:
    """The Content-Security-Policy (CSP level 3): no inline script or style, no plugin, no frame around it."""
    more = "".join(f" {origin}" for origin in origins)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            f"img-src 'self' data: blob:{more}",
            f"media-src 'self' blob:{more}",
            f"connect-src 'self'{more}",
            "worker-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class ConsolePages(StaticFiles):
    """Files as they are and `index.html` for a directory, never a list of one; hidden files do not exist."""

    def __init__(self, pages: Path, csp: str) -> None:
        super().__init__(directory=pages, html=True, check_dir=False)
        self._present = pages.is_dir()
        self._headers = {
            "Content-Security-Policy": csp,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-cache",
        }

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not self._present or any(part.startswith(".") and part != "." for part in Path(path).parts):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response
