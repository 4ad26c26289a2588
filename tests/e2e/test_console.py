"""The agents' page in a real browser, on a whole running system."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.api import Api, Channel, someone
from shared.testing.browser import Page, chromium, page
from shared.testing.eventually import eventually
from shared.testing.follower import Follower
from shared.testing.system import System
from tests.e2e.console import opened, shows, signed_in, write

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium on this machine: apt-get install chromium")

WITHOUT_STREAM = "window.WebSocket = class extends EventTarget { close() {} };"
"""A page that hears of nothing, as behind a proxy that swallows WebSockets."""

SLOW_THREADS = """
const fetched = window.fetch;
const told = new Promise((go) => { window.go = () => void go(); });
window.fetch = async (path, ...more) => {
  const answer = await fetched(path, ...more);
  if (String(path).includes("/messages?")) {
    window.answered = true;
    await told;
  }
  return answer;
};
"""
"""A page to which threads come only when it is told to."""

LAGGING = """
const fetched = window.fetch;
let first = true;
window.fetch = async (path, ...more) => {
  const { pathname, searchParams } = new URL(path, location.href);
  const answer = await fetched(path, ...more);
  if (!/conversations\\/[0-9a-f-]{36}(\\/messages)?$/.test(pathname) || !answer.ok) return answer;
  if (first && !pathname.endsWith("/messages")) {
    first = false;
    window.asked = true;
    await new Promise(() => {});
  }
  const content = await answer.json();
  const seq = Math.min(content.seq, Math.max(3, Number(searchParams.get("min_seq"))));
  const items = content.items?.filter((event) => event.seq <= seq);
  return new Response(JSON.stringify({ ...content, seq, ...(items ? { items } : {}) }));
};
"""
"""A page whose first question about a conversation is never answered, and the others with no more than they ask for."""

LATE_AND_LOST = """
const fetched = window.fetch;
const told = new Promise((connect) => { window.connect = () => void connect(); });
window.fetch = async (path, ...more) => {
  if (String(path).endsWith("/v1/stream/ticket")) await told;
  return fetched(path, ...more);
};
const Real = window.WebSocket;
window.WebSocket = class extends Real {
  constructor(address) {
    const lost = new URL(address);
    if (lost.searchParams.has("cursor")) lost.searchParams.set("cursor", "lost");
    super(lost);
  }
};
"""
"""A page that connects when it is told to, with a cursor that no server knows."""


@pytest_asyncio.fixture
async def console(system: System) -> AsyncIterator[Page]:
    async with signed_in(system) as tab:
        yield tab


async def chosen(console: Page, select: str, value: str) -> None:
    """As a person does: once there is such an option, and without anything in between."""
    await console.until(f"document.querySelector('{select} option[value={json.dumps(value)}]')", "the option is there")
    change = "select.dispatchEvent(new Event('change'))"
    await console.run(
        f"((select) => {{ select.value = {json.dumps(value)}; {change} }})(document.querySelector('{select}'))"
    )


async def bubbles(console: Page) -> list[str]:
    found: list[str] = await console.run(
        "[...document.querySelectorAll('#thread .bubble')].map((one) => one.textContent)"
    )
    return found


async def reads(console: Page, *texts: str) -> None:
    """These bubbles and no others, once the page has taken leave of what waited."""

    async def so() -> bool:
        assert await bubbles(console) == list(texts)
        return True

    await eventually(so, "the thread's bubbles")


async def test_the_token_of_the_link_is_not_left_in_the_address(system: System, console: Page) -> None:
    assert await console.run("location.href") == system.info["console"]
    await console.call("Page.reload")
    await console.until("document.querySelector('.is-live')", "still signed in")


async def test_a_customer_appears_live_and_is_answered(
    system: System, console: Page, agent: Api, channel: Channel, stream: Follower
) -> None:
    who = someone()
    await channel.say(who, "Hello, <b>anybody</b>? 👋", first_name="Grace", last_name=who)
    conversation = await stream.conversation_of(who)
    await shows(console, f"#row-{conversation} .row-name", f"Grace {who}")
    await shows(console, f"#row-{conversation} .badge", "1")
    await console.click(f"#row-{conversation}")
    await shows(console, "#thread .theirs .bubble", "Hello, <b>anybody</b>? 👋")

    async def is_read() -> bool:
        return bool((await agent.ok("GET", f"/v1/conversations/{conversation}"))["unread"] == 0)

    await eventually(is_read, "looking at it marks it as read")
    await console.until(f"!document.querySelector('#row-{conversation} .badge')", "the badge goes")
    await write(console, "Hi Grace!")
    await shows(console, "#thread .ours .bubble", "Hi Grace!")
    await shows(console, "#thread .happened", "Ada Adler took the conversation by answering")
    await console.until(
        f"document.querySelector('#assignee').value === {json.dumps(system.info['members']['agent'])}", "hers"
    )
    await channel.say(who, "Thanks")
    await shows(console, "#thread .theirs .bubble", "Thanks")
    await reads(console, "Hello, <b>anybody</b>? 👋", "Hi Grace!", "Thanks")


async def test_assigning_closing_and_notes_from_the_page(
    system: System, console: Page, agent: Api, channel: Channel, stream: Follower
) -> None:
    who, second = someone(), system.info["members"]["agent2"]
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    await opened(console, conversation)

    async def becomes(**wanted: Any) -> None:
        async def so() -> bool:
            state = await agent.ok("GET", f"/v1/conversations/{conversation}")
            return all(state[name] == value for name, value in wanted.items())

        await eventually(so, f"becomes {wanted}")

    await chosen(console, "#assignee", second)
    await becomes(assignee=second)
    await shows(console, "#thread .happened", "Ada Adler assigned it to Ben Baker")
    await console.click("#mode-note")
    await write(console, "VIP")
    await shows(console, "#thread .note .bubble", "VIP")
    await console.click("#close")
    await becomes(status="closed")
    await console.until(f"!document.querySelector('#row-{conversation}')", "not among the open ones")
    await shows(console, "#close", "Reopen")
    await console.click("#close")
    await becomes(status="open")


async def test_a_colleagues_answer_that_was_not_seen_is_asked_about(
    system: System, agent: Api, agent2: Api, channel: Channel, stream: Follower
) -> None:
    who = someone()
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    async with page() as console:
        await console.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT_STREAM)
        await console.open(f"{system.info['console']}#token={system.info['tokens']['agent']}")
        await console.until("document.querySelector('.row')", "the inbox is shown")
        await opened(console, conversation)
        assert (await agent2.reply(conversation, "I am on it")).status == 201
        await write(console, "Me too")
        await shows(console, "#refusal", "A colleague answered meanwhile")
        assert await console.run("document.querySelector('#text').value") == "Me too"
        await console.click("#refusal-act")
        await console.until("document.querySelectorAll('#thread .ours').length === 2", "both are shown")
    sent = [e["data"]["message"]["text"] for e in await agent.thread(conversation) if "message" in e["data"]]
    assert sent == ["hi", "I am on it", "Me too"]


def beep(seen: Seen) -> Reaction:
    return Says(body={"replies": [{"text": "beep"}]})


async def test_a_chatbot_is_disabled_before_an_agent_answers(
    system: System, console: Page, agent: Api, owner: Api, public: Api, stream: Follower
) -> None:
    async with Adapter(behaviour=beep) as bot:
        settings = {"bot": {"kind": "webhook", "settings": {"url": bot.url}}}
        made = await owner.ok(
            "POST", "/v1/channels", {"kind": "webhook", "name": f"bot {uuid.uuid4().hex[:6]}", **settings}
        )
        who, other = someone(), someone()
        channel = Channel(public, made["id"], made["secret"])
        for one in (who, other):
            await channel.say(one, "hi")
        await opened(console, await stream.conversation_of(who))
        await shows(console, "#thread .bot .bubble", "beep")
        await shows(console, "#bot", "Disable chatbot")
        await console.click("#bot")
        await shows(console, "#bot", "Enable chatbot")
        await shows(console, "#thread .happened", "Ada Adler disabled the chatbot")
        await write(console, "A person here")
        await shows(console, "#thread .agent .bubble", "A person here")
        assert await console.run("document.querySelector('#refusal').hidden")

        conversation = await stream.conversation_of(other)
        await agent.ok("POST", f"/v1/conversations/{conversation}/bot", {"enabled": False})
        async with page() as deaf:
            await deaf.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT_STREAM)
            await deaf.open(f"{system.info['console']}#token={system.info['tokens']['agent']}")
            await deaf.until("document.querySelector('.row')", "the inbox is shown")
            await opened(deaf, conversation)
            await agent.ok("POST", f"/v1/conversations/{conversation}/bot", {"enabled": True})
            await write(deaf, "Here, too")
            await shows(deaf, "#refusal", "The chatbot is answering this customer")
            await deaf.click("#refusal-act")
            await shows(deaf, "#thread .agent .bubble", "Here, too")
            await shows(deaf, "#bot", "Enable chatbot")


async def all_once(console: Page) -> bool:
    return sorted(await bubbles(console)) == ["answer", *(f"m{number}" for number in range(6))]


async def test_a_lost_stream_is_resumed_without_gap_or_repeat(
    system: System, console: Page, channel: Channel, stream: Follower
) -> None:
    who = someone()
    await channel.say(who, "m0")
    await opened(console, await stream.conversation_of(who))
    await console.run("void (window.marked = true)")
    system.kill("gateway")
    await write(console, "answer")
    for number in range(1, 6):
        await channel.say(who, f"m{number}")
    await shows(console, "#thread .bubble", "m5")
    await console.until("document.querySelector('.is-live')", "live again")
    await console.until("!document.querySelector('#thread .waiting')", "the answer is out")
    await eventually(lambda: all_once(console), "all of it, each once")
    assert await console.run("window.marked"), "the page was not loaded anew"


async def test_a_gap_that_nobody_can_fill_is_read_anew(
    system: System, agent: Api, channel: Channel, stream: Follower
) -> None:
    async with page() as console:
        await console.call("Page.addScriptToEvaluateOnNewDocument", source=LATE_AND_LOST)
        await console.open(f"{system.info['console']}#token={system.info['tokens']['agent']}")
        await console.until("!document.querySelector('#app').hidden", "the inbox is shown")
        who = someone()
        await channel.say(who, "in between")
        conversation = await stream.conversation_of(who)
        await agent.ok("GET", f"/v1/conversations/{conversation}?min_seq=3")
        await console.run("window.connect()")
        await console.until(f"document.querySelector('#row-{conversation}')", "what came in between is there")
        await channel.say(who, "and live")
        await shows(console, f"#row-{conversation} .row-text", "and live")


async def test_what_comes_while_a_thread_is_on_its_way_is_shown(
    system: System, channel: Channel, stream: Follower
) -> None:
    who = someone()
    await channel.say(who, "before")
    conversation = await stream.conversation_of(who)
    async with page() as console:
        await console.call("Page.addScriptToEvaluateOnNewDocument", source=SLOW_THREADS)
        await console.open(f"{system.info['console']}#token={system.info['tokens']['agent']}")
        await console.until(
            f"document.querySelector('.is-live') && document.querySelector('#row-{conversation}')", "live"
        )
        await console.click(f"#row-{conversation}")
        await console.until("window.answered", "the server has read the thread")
        await channel.say(who, "meanwhile")
        await shows(console, f"#row-{conversation} .row-text", "meanwhile")
        await console.run("window.go()")
        await shows(console, "#thread .bubble", "meanwhile")
        await reads(console, "before", "meanwhile")


async def test_a_read_model_that_lags_behind_the_stream_hides_nothing(
    system: System, channel: Channel, stream: Follower
) -> None:
    async with page() as console:
        await console.call("Page.addScriptToEvaluateOnNewDocument", source=LAGGING)
        await console.open(f"{system.info['console']}#token={system.info['tokens']['agent']}")
        await console.until("document.querySelector('.is-live')", "live")
        who = someone()
        await channel.say(who, "one")
        await channel.say(who, "two")
        conversation = await stream.conversation_of(who)
        heard = f"import('/console/js/loading.js').then((it) => it.heardOf('{conversation}') >= 4)"
        await eventually(lambda: console.run(heard), "the page has heard of both")
        await console.until("window.asked", "the question that is never answered")
        await opened(console, conversation)
        await shows(console, "#thread .bubble", "two")
        await reads(console, "one", "two")


async def test_what_a_customer_takes_back_or_mends_is_shown_so(
    console: Page, channel: Channel, stream: Follower
) -> None:
    who, text = someone(), "helo"
    first, second = await channel.say(who, text), await channel.say(who, "oops")
    await opened(console, await stream.conversation_of(who))
    sender = {"from": {"id": who}}
    await channel.post([{"type": "edit", "id": first, "text": "hello", **sender}])
    await channel.post([{"type": "delete", "id": second, **sender}])
    await shows(console, "#thread .deleted .bubble", "This message was deleted.")
    await shows(console, "#thread .meta", "edited")
    await reads(console, "hello", "This message was deleted.")


async def test_what_the_page_knows_is_what_the_api_says(
    console: Page, agent: Api, agent2: Api, channel: Channel, stream: Follower
) -> None:
    people = [someone() for _ in range(3)]
    for who in people:
        await channel.say(who, "one")
        await channel.say(who, "two", country="GB")
    conversations = [await stream.conversation_of(who) for who in people]
    await agent2.reply(conversations[0], "answer")
    await agent.ok("POST", f"/v1/conversations/{conversations[1]}/close", {})
    await agent.ok("POST", f"/v1/conversations/{conversations[2]}/assignment", {"assignee": "ben"})
    for conversation in conversations:

        async def same(ident: str = conversation) -> bool:
            wanted = await agent.ok("GET", f"/v1/conversations/{ident}")
            known = await console.run(
                f"import('/console/js/state.js').then((it) => it.state.conversations.get('{ident}'))"
            )
            return bool(known == wanted)

        await eventually(same, "the page's state is the API's")


async def test_nobody_gets_in_without_a_good_token(system: System) -> None:
    async with page() as tab:
        await tab.open(f"{system.info['console']}#token=a.b.c")
        await tab.until("!document.querySelector('#sign-in').hidden", "the sign-in page")
        assert await tab.run("document.querySelector('#app').hidden")
        await tab.type("#sign-in-token", f"{system.info['console']}#token={system.info['tokens']['agent']}")
        await tab.click("#sign-in button")
        await tab.until("document.querySelector('.is-live')", "signed in by a pasted link")
        await shows(tab, "#me-name", "Ada Adler")


async def test_the_inbox_is_used_with_keys_alone(console: Page, channel: Channel, stream: Follower) -> None:
    first, second = someone(), someone()
    for who in (first, second):
        await channel.say(who, "hi", name=who)
    older, newer = [await stream.conversation_of(who) for who in (first, second)]
    top = "[...document.querySelectorAll('.row')].slice(0, 2).map((row) => row.id).join()"
    await console.until(f"{top} === 'row-{newer},row-{older}'", "both are listed")
    for key, conversation in (("j", newer), ("j", older), ("k", newer)):
        await console.press(key)
        await console.until(f"location.hash === '#/{conversation}'", f"{key} moves")
    await console.press("r")
    await console.until("document.activeElement.id === 'text'", "r writes a reply")
    await console.call("Input.insertText", text="by hand")
    await console.press("Enter")
    await shows(console, "#thread .ours .bubble", "by hand")
    await console.press("Escape")
    await console.until("document.activeElement.id === 'list'", "Esc goes back to the list")
