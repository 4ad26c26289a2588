"""Whatever a caller sends, the answer is one of the documented ones, and no fault of ours (schemathesis, OpenAPI)."""

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from standardwebhooks.webhooks import Webhook
from urllib3.util import Retry

from relaydesk.api_documents import OPENAPI
from relaydesk.installation import known_secrets
from relaydesk.tokens import Person, mint
from shared.testing.api import said
from shared.testing.scale import FULL, at_scale
from shared.testing.system import System

log = logging.getLogger(__name__)


def is_away(response: Response) -> bool:
    """As an engine on a busy machine is for a moment: whoever asks again is answered."""
    return response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and response.json()["code"] == "UNAVAILABLE"


def no_fault_of_ours(context: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """5xx is one, but for what the contract answers who asks for a seq that does not exist yet."""
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and response.json()["code"] == "LAGGING":
        return None
    return not_a_server_error(context, response, case)


CHECKS = [no_fault_of_ours, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = at_scale(full=300, reduced=25)
TIMEOUT_S = 30

SCHEMA = schemathesis.openapi.from_path(OPENAPI)
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], max_examples=EXAMPLES)
SCHEMA.config.update(request_timeout=TIMEOUT_S)


SEEN: Counter[int] = Counter()


@dataclass(frozen=True)
class World:
    """A workspace of its own with one of everything. `known`: path parameter -> an id that is."""

    base: str
    token: str
    known: Mapping[str, str]


@pytest.fixture(scope="module")
def world(system: System) -> Iterator[World]:
    base, workspace = system.info["api"], f"fuzz-{uuid.uuid4().hex[:8]}"
    token = mint(known_secrets(system.folder / "data").jwt_private, Person("olga", "Olga", "owner", workspace))
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        again = Retry(10, status_forcelist=[503], allowed_methods=None, backoff_factor=0.1, raise_on_status=False)
        session.mount("http://", HTTPAdapter(max_retries=again))

        def call(method: str, path: str, body: Any = None) -> Any:
            answer = session.request(method, base + path, json=body, timeout=TIMEOUT_S)
            assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
            return answer.json()

        call("GET", "/v1/me")
        call("PUT", "/v1/members/pia", {"role": "agent", "name": "Pia"})
        channel = call("POST", "/v1/channels", {"kind": "webhook", "name": "fuzzed"})
        snippet = call("POST", "/v1/snippets", {"name": "Hello", "message": "Hello $contact.name"})
        file = call("POST", "/v1/files", {"name": "a.txt", "content_type": "text/plain", "size": 10})
        conversation = _write(session, base, channel)
        known = {"channel_id": channel["id"], "snippet_id": snippet["id"], "member_id": "pia"}
        known |= {"file_id": file["id"], "media_id": file["media_id"]}
        known |= {"conversation_id": conversation["id"], "contact_id": conversation["contact"]["id"]}
        yield World(base, token, known)


def _write(session: requests.Session, base: str, channel: dict[str, Any]) -> dict[str, Any]:
    """A customer's first message; -> the conversation it opens."""
    body = json.dumps({"events": [said("ada", "Hello?")]})
    ident, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
    signed = {
        "webhook-id": ident,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(channel["secret"]).sign(ident, now, body),
    }
    url = f"{base}/v1/inbound/{channel['id']}"
    assert session.post(url, data=body.encode(), headers=signed, timeout=TIMEOUT_S).status_code == 202
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if found := session.get(f"{base}/v1/conversations", timeout=TIMEOUT_S).json()["items"]:
            conversation: dict[str, Any] = found[0]
            return conversation
        time.sleep(0.05)
    raise AssertionError("the conversation is not in the inbox")


@SCHEMA.given(real=st.booleans())
@SCHEMA.parametrize()
@settings(
    deadline=None,
    database=None,
    max_examples=EXAMPLES,
    derandomize=not FULL,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_documented(case: Case[Any], world: World, real: bool) -> None:
    if real:
        known = {name: ident for name, ident in world.known.items() if name in case.path_parameters}
        case.path_parameters = {**case.path_parameters, **known}
    if case.operation.path == "/v1/events":
        pytest.skip("an endless answer; its tests are the stream's")
    headers = {"Authorization": f"Bearer {world.token}"}
    answer = case.call(world.base, headers=headers, allow_redirects=False)
    deadline = time.monotonic() + TIMEOUT_S
    while is_away(answer) and time.monotonic() < deadline:
        time.sleep(0.2)
        answer = case.call(world.base, headers=headers, allow_redirects=False)
    case.validate_response(answer, checks=CHECKS, headers=headers)
    SEEN[answer.status_code] += 1


def test_answers_of_all_kinds_were_among_them() -> None:
    """Else the callers above were turned away at the door."""
    log.info("answers by status: %s", dict(sorted(SEEN.items())))
    assert sum(SEEN.values()) >= EXAMPLES * 20
    assert {200, 201, 204, 400, 401, 404, 409, 422} <= set(SEEN)
