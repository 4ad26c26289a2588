"""The committed schemas are the contract: examples fit them, the models make them, and a breaking change is caught."""

import copy
import json
from typing import Any

import jsonschema
import pytest

from shared.contracts.events import EVENT_TYPES, CloudEvent, data_of
from shared.contracts.schema_files import EXAMPLES, breaking, committed, generated, models, refusals
from shared.contracts.topics import TOPICS
from shared.contracts.wire import decode_as, encode

NAMES = sorted(models())


def example(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()


def test_every_record_and_event_has_a_committed_schema_and_an_example() -> None:
    assert set(committed()) == set(NAMES)
    assert {path.name.removesuffix(".json") for path in EXAMPLES.glob("*.json")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_schema_is_what_the_model_makes(name: str) -> None:
    assert committed()[name] == json.loads(json.dumps(generated()[name])), (
        "run `python -m shared.contracts.schema_files` after a compatible change"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_example_fits_the_schema_and_survives_a_round_trip(name: str) -> None:
    text = example(name)
    if name in EVENT_TYPES:
        event = decode_as(CloudEvent, text)
        assert json.loads(event.encoded()) == json.loads(text)
        jsonschema.validate(event.data, committed()[name])
        data = data_of(event)
        assert data is not None and json.loads(encode(data)) == event.data
        return
    model = decode_as(models()[name], text)
    if not isinstance(model, CloudEvent):
        jsonschema.validate(json.loads(text), committed()[name])
        assert json.loads(encode(model)) == json.loads(text)


def test_every_record_named_by_a_topic_has_a_model() -> None:
    carried = {name for topic in TOPICS.values() for name in topic.carries}
    known = set(models()) | {"events", "typing", "presence", "incarnations"}
    assert not carried - known


def without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    changed = copy.deepcopy(schema)
    del changed["properties"][name]
    return changed


def test_a_removed_field_is_breaking() -> None:
    schema = committed()["SendReply"]
    assert breaking(schema, without(schema, "text")) == [".text: is gone"]


def test_a_field_that_becomes_optional_is_breaking() -> None:
    schema = committed()["SendReply"]
    changed = copy.deepcopy(schema)
    changed["required"].remove("force")
    assert breaking(schema, changed) == [".force: was always there, is optional now"]


def test_another_type_or_a_missing_enum_value_is_breaking_also_inside_references() -> None:
    schema = committed()["MessageReceived"]
    changed = copy.deepcopy(schema)
    changed["$defs"]["InboundAttachment"]["properties"]["kind"]["enum"].remove("voice")
    changed["properties"]["accepted_at"]["type"] = "integer"
    assert len(breaking(schema, changed)) == 2


def test_an_added_field_is_compatible() -> None:
    schema = committed()["SendReply"]
    assert breaking(without(schema, "snippet_id"), schema) == []


def test_no_model_breaks_its_committed_schema() -> None:
    assert refusals() == []
