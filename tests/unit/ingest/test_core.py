from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core import (
    AttachmentInput,
    ContactInput,
    DeleteInput,
    EditInput,
    Input,
    MessageInput,
    OurMessage,
    ProviderMessage,
    ReceiptInput,
    Taken,
    records,
)
from shared.contracts import ids, wire
from shared.contracts.inbound import ContactSeen, MessageReceived, ReceiptReceived, Sender
from tests.unit.ingest.samples import ACCEPTANCE, WHEN

ADA = Sender(id="ada", first_name="Ada")
HELLO = MessageInput("m1", ADA, WHEN, "hello")
SENT = ids.message_id(str(uuid4()), 7)
ONE_OF_EACH: list[Input] = [
    HELLO,
    EditInput("m1", "ada", "hello!"),
    DeleteInput("m1", "ada"),
    ContactInput(ADA),
    ReceiptInput(OurMessage(SENT), "read", WHEN),
    ReceiptInput(ProviderMessage("p1", "ada"), "failed", WHEN, "blocked"),
]


def only(item: Input) -> Taken:
    [record] = records(ACCEPTANCE, [item])
    return record


def test_a_message_becomes_a_record_with_derived_ids() -> None:
    record = only(HELLO)
    contact = ids.contact_id(ACCEPTANCE.namespace, "demo", ACCEPTANCE.channel_id, "ada")
    assert isinstance(record, MessageReceived)
    assert (record.contact_id, record.conversation_id) == (contact, ids.conversation_id(contact))
    assert record.id == ids.inbound_id(record.conversation_id, "message", "m1")
    assert (record.sender, record.text, record.occurred_at) == (ADA, "hello", WHEN)
    assert (record.accepted_at, record.channel_kind, record.bot_kind) == (ACCEPTANCE.accepted_at, "webhook", None)


@pytest.mark.parametrize("blank", ["", " ", "\t\n\u00a0\u2003"])
@pytest.mark.parametrize("field", sorted(set(Sender.model_fields) - {"id"}))
def test_a_blank_says_as_little_of_a_contact_as_null(field: str, blank: str) -> None:
    named = Sender.model_validate({"id": "ada", "first_name": "Ada", "name": " Ada  L. ", field: blank})
    for item in (ContactInput(named), replace(HELLO, sender=named)):
        record = only(item)
        assert isinstance(record, MessageReceived | ContactSeen)
        assert record.sender == named.model_copy(update={field: None})


def test_the_same_message_in_another_request_is_the_same_record() -> None:
    [again] = records(replace(ACCEPTANCE, request_id="msg_2"), [HELLO])
    assert again.id == only(HELLO).id


def test_what_has_no_id_of_its_own_is_named_by_request_and_place() -> None:
    seen = ContactInput(ADA)
    first, second = records(ACCEPTANCE, [seen, seen])
    assert first.id != second.id
    assert [first, second] == records(ACCEPTANCE, [seen, seen])
    assert first.id != records(replace(ACCEPTANCE, request_id="msg_2"), [seen])[0].id


def test_a_receipt_by_our_id_goes_to_that_conversation() -> None:
    record = only(ReceiptInput(OurMessage(SENT), "read", WHEN))
    assert isinstance(record, ReceiptReceived)
    assert record.conversation_id == SENT.rpartition("-")[0]
    assert (record.message_id, record.provider_message_id) == (SENT, None)


def test_a_receipt_by_the_providers_id_goes_to_the_contacts_conversation() -> None:
    record = only(ReceiptInput(ProviderMessage("p1", "ada"), "failed", WHEN, "blocked"))
    assert isinstance(record, ReceiptReceived)
    assert record.conversation_id == only(HELLO).conversation_id
    assert (record.message_id, record.provider_message_id, record.error) == (None, "p1", "blocked")


def test_every_file_of_a_message_has_a_media_id_that_a_repeat_keeps() -> None:
    files = (AttachmentInput("image", "https://files.example/a"), AttachmentInput("voice", "https://files.example/b"))
    record, again = records(ACCEPTANCE, [replace(HELLO, attachments=files)] * 2)
    assert isinstance(record, MessageReceived) and isinstance(again, MessageReceived)
    assert len({file.media_id for file in record.attachments}) == 2
    assert record.attachments == again.attachments


def test_the_same_customer_elsewhere_is_another_contact() -> None:
    elsewhere = [
        replace(ACCEPTANCE, workspace="other"),
        replace(ACCEPTANCE, channel_id="another"),
        replace(ACCEPTANCE, namespace=uuid4()),
    ]
    conversations = {records(acceptance, [HELLO])[0].conversation_id for acceptance in [ACCEPTANCE, *elsewhere]}
    assert len(conversations) == 4


@given(st.lists(st.sampled_from(ONE_OF_EACH), max_size=6))
def test_every_input_makes_one_record_in_order_that_the_reader_understands(inputs: list[Input]) -> None:
    taken = records(ACCEPTANCE, inputs)
    assert len(taken) == len(inputs)
    assert [wire.decode_inbound(wire.encode(record)) for record in taken] == taken
