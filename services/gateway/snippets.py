"""Asking the snippets service for a snippet's text, in the member's name."""

from typing import Any
from urllib.parse import quote

from shared.runtime.auth import Principal
from shared.runtime.problems import Problem, not_found, unavailable
from shared.runtime.service_client import ServiceClient

_PASSED_ON = (403, 404, 409)


class RemoteSnippets:
    """`services.gateway.ports.Snippets`, by HTTP."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def render(self, principal: Principal, snippet_id: str, contact_id: str) -> str:
        path = f"/v1/snippets/{quote(snippet_id, safe='')}/render"
        status, answer = await self._service.post(path, principal.token, {"contact_id": contact_id})
        if not isinstance(answer, dict):
            raise unavailable("The snippets service answered nonsense; nothing was sent.")
        if status == 200 and isinstance(answer.get("text"), str):
            return str(answer["text"])
        if status in _PASSED_ON:
            raise _refusal(status, answer)
        raise unavailable("The snippets service cannot render now; nothing was sent.")


def _refusal(status: int, answer: dict[str, Any]) -> Problem:
    """A refusal is the member's own matter: code, detail and what else it says (the missing variables) go on."""
    if status == 404:
        return not_found("There is no such snippet, or it does not know the contact yet.")
    known = ("type", "title", "status", "code", "detail", "headers")
    extra = {name: value for name, value in answer.items() if name not in known}
    return Problem(status, str(answer.get("code", "CONFLICT")), str(answer.get("detail", "")), **extra)
