"""A contact is erased, on real engines: nothing more goes out, nothing personal stays, deaths and repeats included."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio

from relaydesk.tokens import Person, mint
from services.dispatch.app import kinds
from services.dispatch.core.delivery import Delivery
from services.dispatch.store.deliveries import MongoDeliveries
from services.dispatch.store.erasures import MongoErasures
from shared.contracts.commands import BotReply
from shared.contracts.outbound import BotRequest, DeliverMessage
from shared.runtime.component import Service
from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk, known
from tests.unit.runtime.asgi import Answer, call

SLOW = {
    "dispatch_timeout_s": 60.0,
    "dispatch_backoff_s": 600.0,
    "dispatch_backoff_max_s": 600.0,
    "dispatch_bot_deadline_s": 60.0,
}
"""A first refusal puts a message off for minutes; an answer may take its time."""
PROVIDER_ID = "wamid.4477009001"
PERSONAL = ("wamid", "4477009001", "customer of", "secret", "Grace", "grace", "Ada", "question")


@pytest_asyncio.fixture(scope="module")
async def life(installation: Installation) -> AsyncIterator[Service]:
    async with installation.dispatch(kinds, **SLOW) as service:
        yield service


@pytest_asyncio.fixture
async def talk(installation: Installation, channel: str, life: Service) -> Talk:
    await known(life, channel)
    return Talk(installation, channel)


class Held:
    """An adapter or bot that keeps its answer to the first request with a text until `released`."""

    def __init__(self, text: str, answer: Reaction) -> None:
        self.released = asyncio.Event()
        self._text, self._answer = text, answer

    async def __call__(self, seen: Seen) -> Reaction:
        if self._text not in str(seen.body):
            return Says()
        await self.released.wait()
        return self._answer


def refuses(seen: Seen) -> Reaction:
    """What is `stuck` is put off; everything else arrives."""
    return Says(503) if "stuck" in seen.text else Says(200, {"provider_message_id": PROVIDER_ID})


async def kept(installation: Installation, talk: Talk) -> list[dict[str, Any]]:
    """All that dispatch has of the conversation."""
    where = {"_id": {"$regex": f"^{talk.workspace}:{talk.conversation}"}}
    return [row for name in ("deliveries", "bot_requests") async for row in installation.db[name].find(where)]


async def traces(installation: Installation, talk: Talk) -> list[str]:
    text = repr(await kept(installation, talk))
    return [word for word in PERSONAL if word in text]


async def forgotten(installation: Installation, talk: Talk) -> None:
    async def nothing_left() -> bool:
        return not await traces(installation, talk)

    await eventually(nothing_left, "nothing personal is left")


async def put_off(installation: Installation, record: DeliverMessage) -> None:
    async def waiting() -> bool:
        found = await installation.state(record)
        return found.get("attempt") == 1 and found["state"] == "waiting"

    await eventually(waiting, "a first attempt came to nothing")


async def ask(installation: Installation, service: Service, method: str, path: str) -> Answer:
    token = mint(installation.secrets.jwt_private, Person("grace", "Grace Hopper", "agent", "acme"))
    assert service.http is not None
    return await call(service.http, method, path, b"", {"authorization": f"Bearer {token}"})


async def test_what_is_open_ends_what_is_personal_goes_and_the_next_contact_is_served(
    installation: Installation, life: Service, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = refuses
    (sent,) = await talk.send(text="secret")
    await installation.reported([sent])
    stuck, behind = [(await talk.send(text=text))[0] for text in ("stuck secret", "behind it, secret")]
    await put_off(installation, stuck)
    await eventually(lambda: installation.state(behind), "all are there")
    await talk.erase()
    (next_one,) = await talk.send(text="hello", to="somebody")
    (report,) = await installation.reported([next_one])
    assert report.status == "sent" and adapter.texts(talk.conversation) == ["secret", "stuck secret", "hello"]
    rows = [await installation.state(record) for record in (sent, stuck, behind)]
    assert [(row["state"], row["error"], row["provider_message_id"]) for row in rows] == [
        ("sent", None, None),
        ("failed", "CONTACT_ERASED", None),
        ("failed", "CONTACT_ERASED", None),
    ]
    assert not [word for word in PERSONAL if word in repr(rows)]
    assert (await installation.state(next_one))["provider_message_id"] == PROVIDER_ID
    assert list(installation.reports([sent, stuck, behind])) == [sent.message_id]
    listed = await ask(installation, life, "GET", f"/v1/deliveries?state=failed&channel_id={talk.channel_id}")
    assert [(one["id"], one["error"]) for one in listed.json["items"]] == [
        (record.message_id, "CONTACT_ERASED") for record in (stuck, behind)
    ]
    assert all(one["ended_at"] for one in listed.json["items"])
    for verb in ("retry", "cancel"):
        refused = await ask(installation, life, "POST", f"/v1/deliveries/{stuck.message_id}/{verb}")
        assert (refused.status, refused.json["code"]) == (409, "DELIVERY_ENDED")


@pytest.mark.parametrize(
    "answer",
    [Says(200, {"provider_message_id": PROVIDER_ID}), Says(410, b"no secret"), Says(503, b"secret")],
    ids=["sent", "refused", "retry"],
)
async def test_an_attempt_under_way_brings_nothing_back_and_is_not_repeated(
    installation: Installation, adapter: Adapter, talk: Talk, answer: Reaction
) -> None:
    adapter.behaviour = held = Held("secret", answer)
    (first,) = await talk.send(text="secret")
    await eventually(lambda: adapter.seen, "it is being handed over")
    await talk.erase()
    await forgotten(installation, talk)
    erased = await installation.state(first)
    (next_one,) = await talk.send(text="hello", to="somebody")
    held.released.set()
    await installation.reported([next_one])
    assert (erased["state"], erased["error"]) == ("failed", "CONTACT_ERASED")
    assert await installation.state(first) == erased
    assert installation.reports([first]) == {} and len(adapter.attempts(first.message_id)) == 1


async def test_a_redelivered_record_of_an_erased_contact_is_neither_stored_nor_sent(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    records = talk.messages(2, text="stuck secret")
    adapter.behaviour = refuses
    await installation.publish([talk.outgoing(record) for record in records])
    await put_off(installation, records[0])
    await talk.erase()
    await forgotten(installation, talk)
    before = await kept(installation, talk)
    await installation.publish([talk.outgoing(record) for record in records])
    (next_one,) = await talk.send(text="hello", to="somebody")
    await installation.reported([next_one])
    assert [row for row in await kept(installation, talk) if row["seq"] < next_one.seq] == before
    assert adapter.texts(talk.conversation) == ["stuck secret", "hello"]


async def test_a_message_that_comes_back_when_its_skeleton_is_long_gone_is_not_sent(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    (first,) = await talk.send(text="secret")
    await installation.reported([first])
    await talk.erase()
    await forgotten(installation, talk)
    await installation.db.deliveries.delete_many({"_id": {"$regex": talk.conversation}})
    await installation.publish([talk.outgoing(first)])
    (next_one,) = await talk.send(text="hello", to="somebody")
    await installation.reported([next_one])
    row = await installation.state(first)
    assert row["error"] == "CONTACT_ERASED" and not [word for word in PERSONAL if word in repr(row)]
    assert len(adapter.attempts(first.message_id)) == 1


async def test_questions_of_an_erased_contact_are_not_asked_and_not_answered(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = held = Held("question 3", Says(200, {"replies": [{"text": "hello Ada"}]}))
    first = await talk.ask()
    await eventually(lambda: adapter.seen, "the bot is being asked")
    second = await talk.ask()
    await stored(installation, second)
    await talk.erase()
    await forgotten(installation, talk)
    third = await talk.ask()
    held.released.set()
    said = await eventually(lambda: installation.commands(talk.conversation), "an answer")
    assert [one.request_message_id for one in said if isinstance(one, BotReply)] == [third.message.id]
    assert [seen.body["message"]["id"] for seen in adapter.seen] == [first.message.id, third.message.id]
    outcomes = {row["seq"]: row["outcome"] for row in await kept(installation, talk) if row["seq"] < third.message.seq}
    assert outcomes == {first.message.seq: "erased", second.message.seq: "erased"}


async def stored(installation: Installation, asked: BotRequest) -> None:
    async def there() -> bool:
        return await installation.db.bot_requests.find_one({"_id": f"acme:{asked.message.id}:0"}) is not None

    await eventually(there, "the question is stored")


class Dying:
    """A dispatch that stops for ever at a step of an erasure: nothing after it happens in this life."""

    STEPS = ("marks", "inserts", "open ones", "ended ones")

    def __init__(self, point: str) -> None:
        self._point = point
        self._erasing = self._dead = False
        self.reached = asyncio.Event()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        raised, add, bare = MongoErasures.raised, MongoDeliveries.add, MongoDeliveries._bare

        async def dying_raised(store: MongoErasures, erasures: Mapping[str, int], lanes: Any) -> Any:
            self._erasing = self._erasing or bool(erasures)
            return await self._around("marks", lambda: raised(store, erasures, lanes))

        async def dying_add(store: MongoDeliveries, deliveries: Sequence[Delivery], fences: Mapping[str, int]) -> Any:
            return await self._around("inserts", lambda: add(store, deliveries, fences))

        async def dying_bare(store: MongoDeliveries, seen: Sequence[Delivery], at: Any) -> Any:
            what = "open ones" if not seen or seen[0].end is None else "ended ones"
            return await self._around(what, lambda: bare(store, seen, at))

        monkeypatch.setattr(MongoErasures, "raised", dying_raised)
        monkeypatch.setattr(MongoDeliveries, "add", dying_add)
        monkeypatch.setattr(MongoDeliveries, "_bare", dying_bare)

    async def _around(self, what: str, act: Callable[[], Awaitable[Any]]) -> Any:
        await self._at(f"before the {what}")
        answer = await act()
        await self._at(f"after the {what}")
        return answer

    async def _at(self, point: str) -> None:
        if self._dead or (self._erasing and point == self._point):
            self._dead = True
            self.reached.set()
            raise asyncio.CancelledError


@pytest.mark.parametrize("point", [f"{when} the {step}" for step in Dying.STEPS for when in ("before", "after")])
async def test_an_erasure_that_dies_between_any_two_steps_is_finished_by_the_next_life(
    own_installation: Installation, adapter: Adapter, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    installation, dying = own_installation, Dying(point)
    adapter.behaviour = refuses
    talk = Talk(installation, await installation.channel(adapter.url))
    with monkeypatch.context() as patched:
        dying.install(patched)
        async with installation.dispatch(kinds, **SLOW) as life:
            await known(life, talk.channel_id)
            (sent,) = await talk.send(text="secret")
            await installation.reported([sent])
            (stuck,) = await talk.send(text="stuck secret")
            await put_off(installation, stuck)
            (behind,) = talk.messages(1, text="behind it, secret")
            await installation.publish([talk.outgoing(behind), talk.outgoing(talk.erasure())])
            await asyncio.wait_for(dying.reached.wait(), 60)
    async with installation.dispatch(kinds, **SLOW):
        (next_one,) = await talk.send(text="hello", to="somebody")
        await installation.reported([next_one])
        await forgotten_up_to(installation, behind)
    rows = [await installation.state(record) for record in (sent, stuck, behind)]
    assert [(row["state"], row["error"]) for row in rows] == [
        ("sent", None),
        ("failed", "CONTACT_ERASED"),
        ("failed", "CONTACT_ERASED"),
    ]
    assert adapter.texts(talk.conversation) == ["secret", "stuck secret", "hello"]
    assert list(installation.reports([sent, stuck, behind])) == [sent.message_id]


async def forgotten_up_to(installation: Installation, last: DeliverMessage) -> None:
    rows = [row async for row in installation.db.deliveries.find({"seq": {"$lte": last.seq}})]
    assert len(rows) == 3 and not [word for word in PERSONAL if word in repr(rows)]
