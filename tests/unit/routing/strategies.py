"""Inputs of every kind, from domains small enough that they meet: repeats, epochs, seqs, provider ids, foreign ones."""

from typing import Any

from hypothesis import strategies as st

from shared.contracts.commands import Command
from shared.contracts.inbound import Inbound
from tests.unit.routing import build

CUSTOMERS = ("ada", "bob")
customers = st.sampled_from(CUSTOMERS)
few = st.integers(0, 5).map(str)
seqs = st.integers(1, 12)
epochs = st.integers(0, 4)
bots = st.sampled_from([None, "webhook"])
texts = st.sampled_from(["", "hello", "👋 مرحبا", "\x00\n\u2028"])
names = st.sampled_from([None, "", "Ada", "Ada Lovelace"])
agents = st.sampled_from([build.GRACE, build.ALAN])
reported = st.sampled_from(["sent", "delivered", "read", "played", "failed", "unknown"])
providers = st.sampled_from(["p1", "p2", "p3"])
channels = st.sampled_from([build.CHANNEL] * 9 + ["another"])
members = st.sampled_from([None, "grace", "alan"])
fields = st.dictionaries(st.sampled_from(["first_name", "last_name", "name", "email", "country"]), names, max_size=3)
seen_seqs = st.none() | seqs
expiries = st.sampled_from([None, None, "2026-01-01T00:00:00.000Z", build.LATER])


def _senders() -> st.SearchStrategy[dict[str, str | None]]:
    return st.fixed_dictionaries({"first_name": names, "name": names, "email": names})


@st.composite
def inbound(draw: st.DrawFn) -> Inbound:
    customer, bot, channel = draw(customers), draw(bots), draw(channels)
    common: dict[str, Any] = {"customer": customer, "bot_kind": bot, "channel_id": channel}
    files = tuple(build.incoming_file(name) for name in draw(st.lists(few, max_size=2)))
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2 | 3:
            return build.message(draw(few), sender=draw(_senders()), text=draw(texts), attachments=files, **common)
        case 4:
            return build.seen(draw(few), sender=draw(_senders()), **common)
        case 5:
            return build.edited(draw(few), draw(few), draw(texts), **common)
        case 6:
            return build.deleted(draw(few), draw(few), **common)
        case 7:
            return build.receipt(draw(few), draw(reported), draw(seqs), **common)
        case 8:
            return build.receipt(draw(few), draw(reported), provider_message_id=draw(providers), **common)
        case _:
            outcome = draw(st.sampled_from(["sent", "failed", "unknown"]))
            provider = draw(st.none() | providers)
            return build.delivery(draw(seqs), outcome, draw(st.integers(1, 3)), provider_message_id=provider, **common)


@st.composite
def commands(draw: st.DrawFn) -> Command:  # noqa: C901 - one case a command
    customer, name, actor = draw(customers), f"x{draw(st.integers(0, 12))}", draw(agents)
    match draw(st.integers(0, 13)):
        case 0 | 1:
            return build.reply(
                name,
                actor,
                customer,
                text=draw(texts),
                attachments=tuple(build.file(one) for one in draw(st.lists(few, max_size=1))),
                last_seen_seq=draw(seen_seqs),
                force=draw(st.booleans()),
                disable_bot=draw(st.booleans()),
                expires_at=draw(expiries),
            )
        case 2:
            return build.note(name, actor, customer, draw(texts))
        case 3:
            return build.assign(name, draw(members), draw(seen_seqs), actor, customer)
        case 4:
            return build.disable(name, actor, customer)
        case 5:
            return build.enable(name, draw(bots), customer)
        case 6:
            return build.close(name, actor, customer, expires_at=draw(expiries))
        case 7:
            return build.reopen(name, actor, customer)
        case 8:
            return build.update(name, draw(fields), actor, customer)
        case 9:
            return build.reply(name, draw(st.sampled_from([build.BOT, build.SYSTEM])), customer)
        case 10:
            return build.erase(name, build.OLIVIA, customer, draw(seen_seqs))
        case 11:
            return build.bot_failed(name, draw(epochs), customer)
        case _:
            replies = draw(st.lists(texts, max_size=2))
            return build.bot_reply(name, draw(epochs), *replies, handoff=draw(st.booleans()), customer=customer)


inputs = st.one_of(inbound(), commands())
histories = st.lists(inputs, max_size=25)

_names = st.integers(20, 2_000).map(str)
silences = st.one_of(_names.map(build.disable), _names.map(lambda name: build.reply(name, disable_bot=True)))
"""What asks a bot to be silent."""

_said = st.builds(
    lambda name, epoch, ends: build.bot_reply(name, epoch, "beep", handoff=ends),
    _names,
    st.sampled_from([0, 0, 0, 2]),
    st.booleans(),
)
with_a_bot: st.SearchStrategy[Inbound | Command] = st.one_of(
    few.map(lambda name: build.message(name, bot_kind="webhook")),
    *[_said] * 4,
    _names.map(build.enable),
    silences,
    seqs.map(lambda seq: build.delivery(seq, "sent")),
)
"""A conversation of which the bot has a good part."""
