from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from fastapi import FastAPI

from services.dispatch.core.delivery import End
from services.dispatch.http import build_api
from shared.runtime.auth import Principal
from shared.runtime.http import Access
from shared.runtime.metrics import Metrics
from tests.unit.dispatch.builders import CHANNEL, NOW, claim, delivery, message
from tests.unit.dispatch.memory import MemoryDeliveries
from tests.unit.runtime.asgi import Answer, call
from tests.unit.runtime.tokens import gate, token

ROWS = [
    delivery(message(1), attempt=2, trouble="HTTP 503"),
    delivery(message(2)).claimed(claim()),
    delivery(message(3)).ended(End("sent", NOW, "p-3")),
    delivery(message(4, channel_id="another")).ended(End("failed", NOW, error="CHANNEL_GONE")),
    delivery(message(5, workspace="globex")),
]


class Directory:
    async def effective(self, principal: Principal) -> Principal:
        return principal


@dataclass
class Api:
    app: FastAPI

    async def get(self, authorized: bool = True, **query: Any) -> Answer:
        headers = {"authorization": f"Bearer {token()}"} if authorized else {}
        return await call(self.app, "GET", "/v1/deliveries?" + urlencode(query), b"", headers)

    async def seqs(self, **query: Any) -> list[int]:
        answer = await self.get(**query)
        assert answer.status == 200, answer.body
        return [int(item["id"].rpartition("-")[2]) for item in answer.json["items"]]


@pytest_asyncio.fixture
async def deliveries(tmp_path: Path) -> AsyncIterator[Api]:
    store = MemoryDeliveries()
    await store.add(ROWS, {})
    doors = await gate(tmp_path)
    yield Api(build_api(store, Access(doors.verifier, Directory()), Metrics()))


async def test_a_member_sees_the_deliveries_of_their_workspace(deliveries: Api) -> None:
    assert await deliveries.seqs() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("state", "seqs"),
    [("open", [1, 2]), ("waiting", [1]), ("attempting", [2]), ("sent", [3]), ("failed", [4]), ("unknown", [])],
)
async def test_deliveries_are_listed_by_state(deliveries: Api, state: str, seqs: list[int]) -> None:
    assert await deliveries.seqs(state=state) == seqs


async def test_deliveries_are_listed_by_channel(deliveries: Api) -> None:
    assert await deliveries.seqs(channel_id=CHANNEL) == [1, 2, 3]
    assert await deliveries.seqs(channel_id="another", state="failed") == [4]
    assert await deliveries.seqs(channel_id="nobody's") == []


async def test_pages_follow_each_other_without_gap_or_repeat(deliveries: Api) -> None:
    first = (await deliveries.get(limit=3)).json
    assert first["next"] == first["items"][-1]["id"]
    second = (await deliveries.get(limit=3, after=first["next"])).json
    assert [item["id"][-1] for item in first["items"] + second["items"]] == ["1", "2", "3", "4"]
    assert second["next"] is None


async def test_a_delivery_says_how_far_it_is_and_what_is_in_its_way(deliveries: Api) -> None:
    items = (await deliveries.get()).json["items"]
    assert items[0] == {
        "id": message(1).message_id,
        "conversation_id": message(1).conversation_id,
        "channel_id": CHANNEL,
        "state": "waiting",
        "attempt": 2,
        "next_at": "2026-11-23T09:30:00.000Z",
        "queued_at": "2026-11-23T09:30:00.000Z",
        "ended_at": None,
        "provider_message_id": None,
        "error": "HTTP 503",
    }
    assert items[2]["provider_message_id"] == "p-3" and items[2]["ended_at"] == "2026-11-23T09:30:00.000Z"
    assert items[3]["error"] == "CHANNEL_GONE"


@pytest.mark.parametrize("query", [{"state": "lost"}, {"limit": 0}, {"limit": 201}, {"limit": "many"}])
async def test_a_bad_query_is_refused(deliveries: Api, query: dict[str, Any]) -> None:
    answer = await deliveries.get(**query)
    assert (answer.status, answer.json["code"]) == (422, "INVALID")


@pytest.mark.parametrize("after", ["x", "-1", "acme:7", "\x00"])
async def test_a_cursor_that_is_not_ours_is_refused(deliveries: Api, after: str) -> None:
    answer = await deliveries.get(after=after)
    assert (answer.status, answer.json["code"]) == (400, "BAD_CURSOR")


async def test_without_a_token_nothing_is_shown(deliveries: Api) -> None:
    assert (await deliveries.get(authorized=False)).status == 401
