"""In which order the inputs that are left were decided: told from what was asked of others."""

import pytest

from services.routing.core import State
from services.routing.documents import Arrival
from services.routing.orders import Unexplained, explained
from shared.contracts.commands import Command
from shared.contracts.ids import document_key
from shared.contracts.inbound import Inbound
from shared.contracts.outbound import DeliverMessage
from shared.runtime.records import Record
from tests.unit.routing.build import CONVERSATION, WORKSPACE, after, message, reply, tell

KEY = document_key(WORKSPACE, CONVERSATION)
STORED = after(message())


def left(topic: str, *items: Inbound | Command) -> list[Arrival]:
    return [Arrival(Record(topic, 0, n, KEY.encode(), b"", {}, 0), topic, KEY, item) for n, item in enumerate(items)]


def handed_out(state: State, item: Inbound | Command) -> DeliverMessage:
    [order] = [effect for effect in tell(state, item).effects if isinstance(effect, DeliverMessage)]
    return order


@pytest.mark.parametrize("reply_was", ["first", "second", "last"])
def test_the_order_is_the_one_in_which_the_message_has_its_seq(reply_was: str) -> None:
    said, customers = reply("r"), [message("m2"), message("m3")]
    before = customers[: ["first", "second", "last"].index(reply_was)]
    order = handed_out(after(*before, state=STORED), said)
    steps = explained(STORED, {}, [left("commands", said), left("inbound", *customers)], [order])
    assert [step.arrival.item for step in steps] == [*before, said]


def test_an_order_that_comes_out_of_no_order_of_the_inputs_is_said() -> None:
    order = handed_out(STORED, reply("r", text="of a command that is gone"))
    with pytest.raises(Unexplained, match="1 records of others have no event"):
        explained(STORED, {}, [left("commands", reply("r")), left("inbound", message("m2"))], [order])
