"""Bytes <-> records. Readers ignore unknown fields, name unknown types; writers are strict."""

from typing import Annotated, Any, TypeVar

import pydantic_core
from pydantic import Field, TypeAdapter

from shared.contracts.commands import Command
from shared.contracts.events import CloudEvent
from shared.contracts.inbound import Inbound
from shared.contracts.outbound import BotWork, ChannelRecord, MediaJob, Outbound
from shared.contracts.shape import Shape

_INBOUND: TypeAdapter[Inbound] = TypeAdapter(Annotated[Inbound, Field(discriminator="type")])
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])
_OUTBOUND: TypeAdapter[Outbound] = TypeAdapter(Annotated[Outbound, Field(discriminator="type")])
_BOT_WORK: TypeAdapter[BotWork] = TypeAdapter(Annotated[BotWork, Field(discriminator="type")])
_MEDIA_JOB: TypeAdapter[MediaJob] = TypeAdapter(Annotated[MediaJob, Field(discriminator="type")])

T = TypeVar("T")
S = TypeVar("S", bound=Shape)


class Undecodable(ValueError):
    """The bytes are no record of the expected kind. The text names fields, never values."""


def encode(record: Shape) -> bytes:
    return record.__pydantic_serializer__.to_json(record)


def decode_inbound(value: bytes) -> Inbound:
    return _decode(_INBOUND, value)


def decode_command(value: bytes) -> Command:
    return _decode(_COMMAND, value)


def decode_outbound(value: bytes) -> Outbound:
    return _decode(_OUTBOUND, value)


def decode_media_job(value: bytes) -> MediaJob:
    return _decode(_MEDIA_JOB, value)


def decode_bot_work(value: bytes) -> BotWork:
    return _decode(_BOT_WORK, value)


def decode_channel(value: bytes) -> ChannelRecord:
    return decode_as(ChannelRecord, value)


def decode_event(value: bytes) -> CloudEvent:
    return decode_as(CloudEvent, value)


def decode_as(model: type[S], value: bytes) -> S:
    try:
        return model.model_validate_json(value, extra="ignore")
    except pydantic_core.ValidationError as error:
        raise Undecodable(_faults(error)) from None


def _decode(adapter: TypeAdapter[T], value: bytes) -> T:
    try:
        return adapter.validate_json(value, extra="ignore")
    except pydantic_core.ValidationError as error:
        raise Undecodable(_faults(error)) from None


def _faults(error: pydantic_core.ValidationError) -> str:
    def line(fault: Any) -> str:
        return f"{'.'.join(str(part) for part in fault['loc']) or 'record'}: {fault['type']}"

    return "; ".join(line(fault) for fault in error.errors(include_input=False, include_url=False)[:5])
