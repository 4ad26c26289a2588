"""The role that counts now, asked of the gateway in the caller's name; every service but the gateway uses it.

An answer is kept 3 s, and every replica of the gateway knows of a change within 1 s: so a deactivated member is refused
everywhere within the 5 s of DESIGN 7.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp
import orjson
import pydantic

from shared.contracts.resources import Role
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.problems import Problem, unauthenticated, unavailable
from shared.runtime.service_client import asked_too_often
from shared.runtime.tasks import ended

KEEP_S = 3.0
MAX_KEPT = 10_000
TIMEOUT_S = 3.0
MAX_ANSWER_BYTES = 64 * 1024

Member = tuple[str, str]
"""(workspace, member id)"""


class _Me(pydantic.BaseModel):
    """What we need of `GET /v1/me`."""

    role: Role
    name: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    outcome: _Me | Problem


class RemoteMembers:
    """Component and MemberDirectory. One question at a time per member; the gateway away is a 503, its 429 goes on."""

    def __init__(self, gateway_url: str, clock: Clock | None = None) -> None:
        self._url = f"{gateway_url.rstrip('/')}/v1/me"
        self._clock = clock or SystemClock()
        self._kept: OrderedDict[Member, _Kept] = OrderedDict()
        self._asking: dict[Member, asyncio.Task[_Me | Problem]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def stop(self) -> None:
        await ended(self._asking.values())
        if self._session is not None:
            await self._session.close()

    async def effective(self, principal: Principal) -> Principal:
        outcome = await self._outcome(principal)
        if isinstance(outcome, Problem):
            raise Problem(outcome.status, outcome.code, outcome.detail, headers=outcome.headers)
        return replace(principal, role=outcome.role, name=outcome.name)

    async def _outcome(self, principal: Principal) -> _Me | Problem:
        member = (principal.workspace, principal.member_id)
        kept = self._kept.get(member)
        if kept is not None and self._clock.monotonic() < kept.until:
            return kept.outcome
        task = self._asking.get(member)
        if task is None:
            task = self._asking[member] = asyncio.create_task(self._ask(principal))
            task.add_done_callback(lambda _: self._asking.pop(member, None))
        return await asyncio.shield(task)

    async def _ask(self, principal: Principal) -> _Me | Problem:
        asked_at = self._clock.monotonic()
        try:
            status, body, headers = await self._get(principal.token)
        except (aiohttp.ClientError, TimeoutError):
            return unavailable("The gateway, which knows the members, does not answer.")
        outcome = asked_too_often("gateway", headers) if status == 429 else _read(status, body)
        if isinstance(outcome, _Me) or outcome.code == "DEACTIVATED":
            self._keep((principal.workspace, principal.member_id), _Kept(asked_at + KEEP_S, outcome))
        return outcome

    async def _get(self, token: str) -> tuple[int, bytes, Mapping[str, str]]:
        assert self._session is not None, "not started"
        async with self._session.get(
            self._url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
        ) as answer:
            return answer.status, await answer.content.read(MAX_ANSWER_BYTES), answer.headers

    def _keep(self, member: Member, kept: _Kept) -> None:
        self._kept[member] = kept
        self._kept.move_to_end(member)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _read(status: int, body: bytes) -> _Me | Problem:
    match status:
        case 200:
            return _member(body)
        case 401:
            return unauthenticated("The token is not valid any more.")
        case 403:
            return _deactivated()
        case _:
            return unavailable("The gateway, which knows the members, does not answer.")


def _member(body: bytes) -> _Me | Problem:
    try:
        me = _Me.model_validate(orjson.loads(body))
    except ValueError:
        return unavailable("The gateway's answer about the member cannot be read.")
    return me if me.active else _deactivated()


def _deactivated() -> Problem:
    return Problem(403, "DEACTIVATED", "This member is deactivated in the workspace.")
