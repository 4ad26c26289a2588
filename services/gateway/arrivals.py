"""Records of `workspace.events` -> arrivals for the fold; what is no event of ours is dead-lettered with its reason."""

from pydantic import ValidationError
from pydantic_core import from_json

from services.gateway.core import Arrival
from shared.contracts.events import CloudEvent, data_of
from shared.runtime.faults import Poison
from shared.runtime.records import Record


def arrival_of(record: Record) -> Arrival:
    """Poison `UNDECODABLE` for bytes that are no event, `FOREIGN` for one of another workspace than its key says."""
    try:
        raw = from_json(record.value or b"", allow_inf_nan=False)
        event = CloudEvent.model_validate(raw, extra="ignore")
        arrival = Arrival(event, data_of(event), raw)
    except ValidationError as error:
        raise Poison("UNDECODABLE", _fields(error), record) from None
    except ValueError:
        raise Poison("UNDECODABLE", "not JSON", record) from None
    if record.key != event.workspace.encode():
        raise Poison("FOREIGN", "the event's workspace is not the record's key", record)
    return arrival


def _fields(error: ValidationError) -> str:
    """Which fields, never their values."""
    faults = error.errors(include_input=False, include_url=False)[:5]
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['type']}" for fault in faults)
