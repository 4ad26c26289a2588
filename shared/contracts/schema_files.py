"""JSON Schemas of every record and event, generated into `schemas/`; a breaking difference to them fails the build.

`python -m shared.contracts.schema_files` writes them anew after a compatible change and refuses a breaking one: make a
`.v2` beside the `.v1`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from shared.contracts.commands import Command
from shared.contracts.events import EVENT_TYPES, CloudEvent
from shared.contracts.inbound import Inbound
from shared.contracts.outbound import BotWork, ChannelRecord, ContactRecord, MediaJob, MediaRecord, Outbound
from shared.contracts.shape import Shape

HERE = Path(__file__).parent
SCHEMAS = HERE / "schemas"
EXAMPLES = HERE / "examples"
Schema = Mapping[str, Any]


def models() -> dict[str, type[Shape]]:
    """Name (of schema and example file) -> model: events by type, records by class name."""
    unions: tuple[Any, ...] = (Inbound, Command, Outbound, BotWork, MediaJob)
    records = [model for union in unions for model in get_args(union)]
    records += [ContactRecord, ChannelRecord, MediaRecord, CloudEvent]
    return {model.__name__: model for model in records} | dict(EVENT_TYPES)


def generated() -> dict[str, dict[str, Any]]:
    return {name: model.model_json_schema(mode="serialization") for name, model in models().items()}


def committed() -> dict[str, dict[str, Any]]:
    return {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))}


def breaking(old: Schema, new: Schema) -> list[str]:
    """What a reader of `old` would miss or choke on in `new`; empty where the change is compatible."""
    return list(_differences("", old, new, old.get("$defs", {}), new.get("$defs", {})))


def _differences(at: str, old: Schema, new: Schema, old_defs: Schema, new_defs: Schema) -> Iterator[str]:
    old, new = _resolved(old, old_defs), _resolved(new, new_defs)
    for key in ("type", "const", "pattern"):
        if key in old and old.get(key) != new.get(key):
            yield f"{at or 'record'}: {key} was {old[key]!r}, is {new.get(key)!r}"
    for value in old.get("enum", ()):
        if value not in new.get("enum", ()):
            yield f"{at}: {value!r} is no longer allowed"
    yield from _property_differences(at, old, new, old_defs, new_defs)
    if "items" in old:
        yield from _differences(f"{at}[]", old["items"], new.get("items", {}), old_defs, new_defs)
    for index, option in enumerate(old.get("anyOf", ())):
        if not any(not list(_differences(at, option, other, old_defs, new_defs)) for other in new.get("anyOf", [new])):
            yield f"{at}: option {index} of anyOf is gone"


def _property_differences(at: str, old: Schema, new: Schema, old_defs: Schema, new_defs: Schema) -> Iterator[str]:
    for name in set(old.get("required", ())) - set(new.get("required", ())):
        yield f"{at}.{name}: was always there, is optional now"
    for name, schema in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{at}.{name}: is gone"
        else:
            yield from _differences(f"{at}.{name}", schema, new["properties"][name], old_defs, new_defs)


def _resolved(schema: Schema, defs: Schema) -> Schema:
    while "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def refusals() -> list[str]:
    """The breaking differences between the committed schemas and the models."""
    old, new = committed(), generated()
    gone = [f"{name}: has no model any more" for name in old if name not in new]
    return gone + [f"{name}{fault}" for name in old if name in new for fault in breaking(old[name], new[name])]


def write() -> None:
    """Write all schema files. SystemExit where a change would break readers of the committed ones."""
    if faults := refusals():
        sys.exit("a breaking change; make a new version beside it:\n  " + "\n  ".join(faults))
    for name, schema in generated().items():
        (SCHEMAS / f"{name}.json").write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write()
