"""The example adapter: by itself, before a Relaydesk that stumbles, and attached to a whole running system."""

import ast
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.testing.api import Api
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, kind
from shared.testing.system import System
from tests.e2e.webchat import SERVER, Inbox, Visitor, deliver, webchat

OTHER_SECRET = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXIxMjM="


@pytest_asyncio.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox() as started:
        yield started


@pytest.mark.parametrize("example", [SERVER.parent, SERVER.parents[1] / "bot"], ids=lambda path: str(path.name))
def test_it_knows_nothing_of_relaydesk_but_the_contract(example: Path) -> None:
    own = {path.stem for path in example.glob("*.py")}
    allowed = own | set(sys.stdlib_module_names) | {"aiohttp", "standardwebhooks"}
    for path in example.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        imported += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert {name.partition(".")[0] for name in imported} <= allowed, path


async def test_a_visitor_writes_and_the_answer_arrives_live(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        visitor.listen()
        await visitor.say("Hello 👋", "first-message")
        await eventually(lambda: visitor.lines["first-message"]["state"] == "sent", "taken by Relaydesk")
        [event] = inbox.of("message")
        assert (event["text"], event["id"]) == ("Hello 👋", "first-message")
        assert await deliver(url, event["from"]["id"], "Hi!") == 200
        await eventually(lambda: visitor.texts("agent") == ["Hi!"], "the answer is shown")
        assert visitor.lines["m-1"]["name"] == "Ada Adler"


async def test_what_relaydesk_did_not_take_is_sent_again_under_the_same_id(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        visitor.listen()
        inbox.status = 503
        await visitor.say("one", "message-1")
        await visitor.say("two", "message-2")
        await eventually(lambda: len(inbox.posts) >= 2, "it tries")
        inbox.status = 202
        await eventually(lambda: len(inbox.taken) == 2, "both are taken")
        assert [event["text"] for event in inbox.taken] == ["one", "two"]
        idents = [ident for ident, _ in inbox.posts]
        assert len(set(idents)) == 2 and idents[0] == idents[1]


async def test_what_relaydesk_refuses_for_good_holds_up_nothing(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        visitor.listen()
        inbox.status = 400
        await visitor.say("bad", "message-1")
        await eventually(lambda: visitor.lines["message-1"]["state"] == "refused", "the visitor is told")
        inbox.status = 202
        await visitor.say("good", "message-2")
        await eventually(lambda: visitor.lines["message-2"]["state"] == "sent", "the next one goes")


async def test_a_restart_keeps_the_history_and_what_was_not_sent(inbox: Inbox, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        visitor.listen()
        await visitor.say("before", "message-1")
        await eventually(lambda: inbox.of("message"), "taken")
        await deliver(url, inbox.taken[0]["from"]["id"], "answer")
        await eventually(lambda: len(visitor.lines) == 2, "both shown")
        cookies, rev = visitor.cookies(), max(line["rev"] for line in visitor.sent)
    async with webchat(nobody, tmp_path) as url, Visitor(url, cookies) as visitor:
        await visitor.say("while Relaydesk is away", "message-2")
    async with webchat(inbox.url, tmp_path) as url, Visitor(url, cookies) as visitor:
        await eventually(lambda: len(inbox.of("message")) == 2, "sent after the restart")
        visitor.listen()
        await eventually(lambda: len(visitor.lines) == 3, "all of the history")
    async with webchat(inbox.url, tmp_path) as url, Visitor(url, cookies) as visitor:
        visitor.listen(after=rev)
        await eventually(lambda: visitor.lines, "what was missed")
        assert set(visitor.lines) == {"message-2"}


async def test_a_delivery_is_shown_once_and_only_if_it_is_signed(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        visitor.listen()
        await visitor.say("hi", "message-1")
        await eventually(lambda: inbox.of("message"), "taken")
        me = inbox.taken[0]["from"]["id"]
        assert await deliver(url, me, "forged", "m-0", OTHER_SECRET) == 401
        assert [await deliver(url, me, "once") for _ in range(3)] == [200, 200, 200]
        assert await deliver(url, "visitor-unknown", "nobody") == 404
        assert await deliver(url, me, "last", "m-2") == 200
        await eventually(lambda: visitor.texts("agent") == ["once", "last"], "each once, in order")
        assert len([line for line in visitor.sent if line["id"] == "m-1"]) == 1


async def test_receipts_are_sent_once_and_never_go_back(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        await visitor.say("hi", "message-1")
        await eventually(lambda: inbox.of("message"), "taken")
        await deliver(url, inbox.taken[0]["from"]["id"], "answer")
        for status in ("delivered", "delivered", "read", "delivered", "read"):
            assert await visitor.post("receipts", {"ids": ["m-1", "message-1", "unknown"], "status": status}) == 204
        await visitor.say("last", "message-2")
        await eventually(lambda: len(inbox.of("message")) == 2, "all is sent")
        told = [(event["message_id"], event["status"]) for event in inbox.of("receipt")]
        assert told == [("m-1", "delivered"), ("m-1", "read")]


async def test_visitors_do_not_see_each_other(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as one, Visitor(url) as other:
        one.listen()
        other.listen()
        await one.say("mine", "message-1")
        await other.say("theirs", "message-1")
        await eventually(lambda: len(inbox.of("message")) == 2, "both taken")
        first, second = (event["from"]["id"] for event in inbox.of("message"))
        assert first != second
        await deliver(url, first, "for one")
        await eventually(lambda: one.texts("agent") == ["for one"], "shown")
        await eventually(lambda: other.texts("visitor") == ["theirs"], "the other one sees their own")
        assert other.texts("agent") == []


async def test_odd_requests_of_a_page_are_refused(inbox: Inbox, tmp_path: Path) -> None:
    async with webchat(inbox.url, tmp_path) as url, Visitor(url) as visitor:
        bodies: list[object] = [
            [],
            {},
            {"id": "short", "text": "x"},
            {"id": "long-enough"},
            {"id": "long-enough", "text": " "},
        ]
        bodies += [
            {"id": "long-enough", "text": "x" * 4001},
            {"id": "long-enough", "text": "a\0b"},
            {"id": 5, "text": "x"},
        ]
        assert {await visitor.post("messages", body) for body in bodies} == {400}
        assert {await visitor.post("profile", body) for body in ({}, {"name": ""}, {"name": 5})} == {400}
        assert await visitor.post("receipts", {"ids": ["m"], "status": "sent"}) == 400
        async with Api(url, None) as stranger:
            assert (await stranger.call("POST", "/messages", {"id": "long-enough", "text": "x"})).status == 403
        assert inbox.taken == []


async def test_a_visitor_and_an_agent_talk(system: System, agent: Api, stream: Follower) -> None:
    text = f"hello {uuid.uuid4().hex}"
    async with Visitor(system.info["webchat"]) as visitor:
        visitor.listen()
        await visitor.post("profile", {"name": "Grace Hopper"})
        await visitor.say(text, uuid.uuid4().hex)

        def received() -> dict[str, str] | None:
            found = [e for e in stream.events if kind(e) == "message.received" and e["data"]["message"]["text"] == text]
            return found[0] if found else None

        conversation = (await eventually(received, "the agent's stream shows it"))["subject"]
        await eventually(lambda: len(visitor.texts("bot")) == 1, "the bot has answered")
        sent = await agent.reply(conversation, "Hi Grace!", disable_bot=True)
        assert sent.status == 201
        await eventually(lambda: visitor.texts("agent") == ["Hi Grace!"], "the visitor sees the answer")
        await visitor.post("receipts", {"ids": [sent.body["id"]], "status": "read"})

        async def read() -> bool:
            thread = await agent.thread(conversation)
            messages = [e["data"]["message"] for e in thread if "message" in e["data"]]
            return [(m["author"]["kind"], m["status"]) for m in messages if m["author"]["kind"] != "bot"] == [
                ("contact", None),
                ("agent", "read"),
            ]

        await eventually(read, "the agent sees that it was read")
        state = await agent.ok("GET", f"/v1/conversations/{conversation}")
        assert state["contact"]["name"] == "Grace Hopper"
