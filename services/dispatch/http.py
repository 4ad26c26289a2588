"""/v1/deliveries: what is on its way, what came of it; one of them tried now, or not at all."""

from collections.abc import Awaitable
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel

from services.dispatch.core.delivery import OPEN, Delivery, State
from services.dispatch.core.intervention import Refused
from services.dispatch.interventions import Interventions
from services.dispatch.ports import DeliveryBook
from services.dispatch.ports import Query as Wanted
from shared.contracts.ids import split_message_id
from shared.contracts.shape import Uuid
from shared.contracts.times import to_timestamp
from shared.runtime.http import Access, Caller, Limit, Problem, api, route
from shared.runtime.metrics import Metrics
from shared.runtime.tracing import OFF, Tracing

_WHY = {
    "DELIVERY_ENDED": "It was sent, failed or is unknown: an end is final. Send the message again.",
    "DELIVERY_UNDER_WAY": "It is being handed over at this moment. Try again when the attempt is over.",
}
ALL_STATES: tuple[State, ...] = ("waiting", "attempting", "sent", "failed", "unknown")
Asked = Literal["open", "waiting", "attempting", "sent", "failed", "unknown"]


class DeliveryShown(BaseModel):
    """`attempt`: how many have begun; `next_at`: the next one's time; `error`: how it failed, or the latest trouble."""

    id: str
    conversation_id: Uuid
    channel_id: str
    state: State
    attempt: int
    next_at: str | None
    queued_at: str
    ended_at: str | None
    provider_message_id: str | None
    error: str | None


class Page(BaseModel):
    items: list[DeliveryShown]
    next: str | None


def build_api(
    book: DeliveryBook, interventions: Interventions, access: Access, metrics: Metrics, tracing: Tracing = OFF
) -> FastAPI:
    app = api("dispatch", access, metrics, tracing)

    @route(app, "GET", "/v1/deliveries")
    async def deliveries(
        principal: Caller,
        state: Asked | None = None,
        channel_id: str | None = None,
        limit: Limit = 50,
        after: str | None = None,
    ) -> Page:
        wanted = Wanted(principal.workspace, _states(state), channel_id, _checked(after), limit + 1)
        found = await book.page(wanted)
        more = found[limit - 1].record.message_id if len(found) > limit else None
        return Page(items=[shown(delivery) for delivery in found[:limit]], next=more)

    @route(app, "POST", "/v1/deliveries/{delivery_id}/retry")
    async def retry(principal: Caller, delivery_id: str) -> DeliveryShown:
        return shown(await _allowed(interventions.retry(principal.workspace, delivery_id)))

    @route(app, "POST", "/v1/deliveries/{delivery_id}/cancel")
    async def cancel(principal: Caller, delivery_id: str) -> DeliveryShown:
        return shown(await _allowed(interventions.cancel(principal.workspace, delivery_id)))

    return app


async def _allowed(asked: Awaitable[Delivery]) -> Delivery:
    """Problem 409 where the rules say no."""
    try:
        return await asked
    except Refused as refused:
        raise Problem(409, refused.code, _WHY[refused.code]) from None


def shown(delivery: Delivery) -> DeliveryShown:
    record, end = delivery.record, delivery.end
    return DeliveryShown(
        id=record.message_id,
        conversation_id=record.conversation_id,
        channel_id=record.channel_id,
        state=delivery.state,
        attempt=delivery.attempt,
        next_at=to_timestamp(delivery.next_at) if delivery.state == "waiting" else None,
        queued_at=record.queued_at,
        ended_at=to_timestamp(end.at) if end else None,
        provider_message_id=end.provider_message_id if end else None,
        error=end.error if end else delivery.trouble,
    )


def _states(asked: Asked | None) -> tuple[State, ...]:
    if asked is None:
        return ALL_STATES
    return OPEN if asked == "open" else (asked,)


def _checked(after: str | None) -> str | None:
    """Problem 400 where the cursor can't be one of ours."""
    try:
        if after is not None:
            split_message_id(after)
    except ValueError:
        raise Problem(400, "BAD_CURSOR", "`after` is not a cursor of this list.") from None
    return after
