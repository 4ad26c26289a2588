"""Records of `workspace.events` -> arrivals for the fold; what is no event of ours is dead-lettered with its reason."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from services.gateway.core import Arrival
from shared.contracts.events import CloudEvent, data_of
from shared.runtime.faults import Poison
from shared.runtime.records import Record


def arrival_of(record: Record) -> Arrival:
    """Poison `UNDECODABLE` for bytes that are no event, `FOREIGN` for one of another workspace than its key says."""
    try:
        arrival = archived(from_json(record.value or b"", allow_inf_nan=False))
    except ValidationError as error:
        raise Poison("UNDECODABLE", _fields(error), record) from None
    except ValueError:
        raise Poison("UNDECODABLE", "not JSON", record) from None
    if record.key != arrival.event.workspace.encode():
        raise Poison("FOREIGN", "the event's workspace is not the record's key", record)
    return arrival


def archived(raw: Mapping[str, Any]) -> Arrival:
    """An event as the archive has it. ValidationError where it is none."""
    event = CloudEvent.model_validate(raw, extra="ignore")
    return Arrival(event, data_of(event), raw)


def _fields(error: ValidationError) -> str:
    """Which fields, never their values."""
    faults = error.errors(include_input=False, include_url=False)[:5]
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['type']}" for fault in faults)
