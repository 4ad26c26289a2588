from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from fastapi import FastAPI

from services.dispatch.core.delivery import End
from services.dispatch.core.erasing import erased
from services.dispatch.http import build_api
from services.dispatch.interventions import FrontDesk, Interventions
from shared.runtime.auth import Principal
from shared.runtime.http import Access
from shared.runtime.metrics import Metrics
from tests.unit.dispatch.builders import CHANNEL, NOW, SteppingClock, channel, claim, delivery, message
from tests.unit.dispatch.memory import MemoryDeliveries, MemoryReports
from tests.unit.runtime.asgi import Answer, call
from tests.unit.runtime.tokens import gate, token

LATER = NOW + timedelta(seconds=30)
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
    store: MemoryDeliveries
    looked: list[str]

    async def get(self, authorized: bool = True, **query: Any) -> Answer:
        headers = {"authorization": f"Bearer {token()}"} if authorized else {}
        return await call(self.app, "GET", "/v1/deliveries?" + urlencode(query), b"", headers)

    async def post(self, seq: int, verb: str, ident: str | None = None) -> Answer:
        ident = ident or message(seq).message_id
        return await call(
            self.app, "POST", f"/v1/deliveries/{ident}/{verb}", b"", {"authorization": f"Bearer {token()}"}
        )

    async def seqs(self, **query: Any) -> list[int]:
        answer = await self.get(**query)
        assert answer.status == 200, answer.body
        return [int(item["id"].rpartition("-")[2]) for item in answer.json["items"]]


@pytest_asyncio.fixture
async def deliveries(tmp_path: Path) -> AsyncIterator[Api]:
    store = MemoryDeliveries()
    await store.add(ROWS, {})
    doors = await gate(tmp_path)
    looked: list[str] = []
    front = FrontDesk(store, MemoryReports(store.pending), lambda ident: channel(), looked.append, SteppingClock(LATER))
    access = Access(doors.verifier, Directory(), doors.limits)
    yield Api(build_api(store, Interventions(front, Metrics()), access, Metrics()), store, looked)


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


async def test_an_empty_cursor_is_none(deliveries: Api) -> None:
    assert (await deliveries.get(after="")).json == (await deliveries.get()).json


async def test_without_a_token_nothing_is_shown(deliveries: Api) -> None:
    assert (await deliveries.get(authorized=False)).status == 401


async def test_a_waiting_delivery_is_tried_now(deliveries: Api) -> None:
    for _ in range(2):
        answer = await deliveries.post(1, "retry")
        assert answer.status == 200
        shown = answer.json
        assert (shown["state"], shown["attempt"], shown["next_at"]) == ("waiting", 2, "2026-11-23T09:30:30.000Z")
    assert deliveries.looked == [ROWS[0].lane] * 2


async def test_a_waiting_delivery_is_cancelled_once_and_reported_once(deliveries: Api) -> None:
    first, second = [await deliveries.post(1, "cancel") for _ in range(2)]
    assert first.status == second.status == 200 and first.json == second.json
    assert (first.json["state"], first.json["error"]) == ("failed", "CANCELLED")
    assert first.json["ended_at"] == "2026-11-23T09:30:30.000Z"
    assert deliveries.looked == [ROWS[0].lane]


async def test_while_it_is_handed_over_a_retry_changes_nothing_and_a_cancel_has_to_wait(deliveries: Api) -> None:
    before = dict(deliveries.store.rows)
    assert ((again := await deliveries.post(2, "retry")).status, again.json["state"]) == (200, "attempting")
    refused = await deliveries.post(2, "cancel")
    assert (refused.status, refused.json["code"]) == (409, "DELIVERY_UNDER_WAY")
    assert deliveries.store.rows == before and deliveries.looked == []


@pytest.mark.parametrize("verb", ["retry", "cancel"])
@pytest.mark.parametrize("seq", [3, 4])
async def test_an_end_is_final(deliveries: Api, verb: str, seq: int) -> None:
    before = dict(deliveries.store.rows)
    refused = await deliveries.post(seq, verb)
    assert (refused.status, refused.json["code"]) == (409, "DELIVERY_ENDED")
    assert deliveries.store.rows == before


async def test_what_was_erased_is_shown_as_it_ended_and_nothing_of_the_contact(deliveries: Api) -> None:
    for row in ROWS[1:4]:
        deliveries.store.rows[row.ident] = erased(row, LATER)
    shown = [(one["state"], one["error"]) for one in (await deliveries.get()).json["items"]]
    assert shown[1:] == [("failed", "CONTACT_ERASED"), ("sent", None), ("failed", "CHANNEL_GONE")]
    items = (await deliveries.get()).json["items"]
    assert items[1]["ended_at"] == "2026-11-23T09:30:30.000Z" and items[1]["next_at"] is None
    assert items[2]["ended_at"] == "2026-11-23T09:30:00.000Z" and items[2]["provider_message_id"] is None
    for verb in ("retry", "cancel"):
        refused = await deliveries.post(2, verb)
        assert (refused.status, refused.json["code"]) == (409, "DELIVERY_ENDED")


@pytest.mark.parametrize("verb", ["retry", "cancel"])
@pytest.mark.parametrize("ident", [message(5).message_id, message(9).message_id, "x", "acme:7", "%2e%2e", "$ne"])
async def test_what_is_not_theirs_is_not_there(deliveries: Api, verb: str, ident: str) -> None:
    before = dict(deliveries.store.rows)
    answer = await deliveries.post(0, verb, ident)
    assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")
    assert deliveries.store.rows == before


@pytest.mark.parametrize("verb", ["retry", "cancel"])
async def test_a_database_that_is_away_is_503_and_changes_nothing(deliveries: Api, verb: str) -> None:
    deliveries.store.away = 1
    assert (await deliveries.post(1, verb)).status == 503
    assert (await deliveries.post(1, verb)).status == 200
