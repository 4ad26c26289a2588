"""The life of a process: it waits for engines instead of dying, stops in order, and dies when a component says so."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from shared.runtime import serve as serving
from shared.runtime.component import Component, Receive, Scope, Send, Service
from shared.runtime.faults import Fatal, Transient
from shared.runtime.health import Health
from shared.runtime.listening import Listener, PortTaken
from shared.runtime.metrics import Metrics
from shared.runtime.serve import serve
from shared.runtime.settings import Settings
from shared.testing.eventually import eventually


@dataclass
class Part:
    """A component that writes what happens to it into a diary."""

    name: str
    diary: list[str]
    failures: list[Exception] = field(default_factory=list)
    stop_error: Exception | None = None
    hold_stop: asyncio.Event | None = None

    async def start(self) -> None:
        if self.failures:
            error = self.failures.pop(0)
            self.diary.append(f"{self.name} failed")
            raise error
        self.diary.append(f"{self.name} started")

    async def stop(self) -> None:
        if self.hold_stop is not None:
            await self.hold_stop.wait()
        self.diary.append(f"{self.name} stopped")
        if self.stop_error is not None:
            raise self.stop_error


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def service(*parts: Component, name: str = "routing") -> Service:
    return Service(name, Settings(), Health(), Metrics(), list(parts), hello)


@asynccontextmanager
async def served(*services: Service) -> AsyncIterator["asyncio.Task[int]"]:
    task = asyncio.create_task(serve(services))
    try:
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 60)


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def ready(one: Service) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return (await get(one.probe_port, "/readyz"))[0] == 200

    return probe


async def test_components_start_in_order_and_stop_in_reverse() -> None:
    diary: list[str] = []
    one = service(Part("mongo", diary), Part("producer", diary), Part("consumer", diary))
    async with served(one) as task:
        await eventually(ready(one), "ready")
        assert await get(one.http_port, "/") == (200, "hello")
    assert task.result() == 0
    order = ["mongo", "producer", "consumer"]
    assert diary == [f"{name} started" for name in order] + [f"{name} stopped" for name in reversed(order)]


async def test_an_engine_away_at_start_is_waited_for_alive_and_not_ready() -> None:
    diary: list[str] = []
    away = [Transient("no primary"), ConnectionRefusedError()] * 1000
    one = service(Part("mongo", diary, away), Part("consumer", diary))
    async with served(one) as task:
        await eventually(lambda: len(diary) >= 2, "two tries")
        assert (await get(one.probe_port, "/healthz"))[0] == 200
        status, body = await get(one.http_port, "/")
        assert (status, "UNAVAILABLE" in body) == (503, True)
        assert (await get(one.probe_port, "/readyz"))[0] == 503
        away.clear()
        await eventually(ready(one), "ready")
    assert task.result() == 0
    assert diary[:2] == ["mongo failed"] * 2
    assert [line for line in diary if line != "mongo failed"][:2] == ["mongo started", "consumer started"]


async def test_a_signal_ends_the_waiting_for_an_engine() -> None:
    diary: list[str] = []
    async with served(service(Part("mongo", diary, [Transient("away")] * 1000))) as task:
        await eventually(lambda: diary, "a try")
    assert task.result() == 0
    assert diary[-1] == "mongo stopped"


async def test_a_component_that_cannot_start_ends_the_process_with_1_and_stops_the_others() -> None:
    diary: list[str] = []
    one = service(Part("mongo", diary), Part("consumer", diary, [ValueError("two routing inputs differ")]))
    async with served(one, service(Part("other", diary), name="gateway")) as task:
        assert await asyncio.wait_for(task, 60) == 1
    assert {"mongo stopped", "other stopped"} <= set(diary)


async def test_a_component_that_dies_later_ends_the_process_with_1() -> None:
    diary: list[str] = []
    one = service(Part("consumer", diary))
    async with served(one) as task:
        await eventually(ready(one), "ready")
        one.health.fatal(Fatal("fenced"))
        assert await asyncio.wait_for(task, 60) == 1
    assert diary == ["consumer started", "consumer stopped"]


async def test_a_component_that_does_not_stop_well_holds_up_no_other() -> None:
    diary: list[str] = []
    one = service(Part("mongo", diary), Part("consumer", diary, stop_error=ValueError("odd")))
    async with served(one) as task:
        await eventually(ready(one), "ready")
    assert task.result() == 0
    assert diary[-2:] == ["consumer stopped", "mongo stopped"]


async def test_stopping_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "STOP_WITHIN_S", 0.5)
    one = service(Part("stuck", [], hold_stop=asyncio.Event()))
    async with served(one) as task:
        await eventually(ready(one), "ready")
    assert task.result() == 1


async def test_while_draining_it_is_unready_and_open_requests_are_finished() -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await finish.wait()
        await hello(scope, receive, send)

    one = Service("gateway", Settings(drain_s=0.2), Health(), Metrics(), [], slow)
    async with served(one) as task:
        await eventually(ready(one), "ready")
        request = asyncio.create_task(get(one.http_port, "/"))
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: one.health.draining, "draining")
        assert (await get(one.probe_port, "/readyz"))[0] == 503
        assert (await get(one.probe_port, "/healthz"))[0] == 200
        finish.set()
        assert await request == (200, "hello")
    assert task.result() == 0


async def test_two_services_of_a_process_have_their_own_ports_and_states() -> None:
    first, second = service(Part("a", [])), service(Part("b", [], [Transient("away")] * 1000), name="gateway")
    async with served(first, second):
        await eventually(ready(first), "ready")
        assert (await get(second.probe_port, "/readyz"))[0] == 503
        assert len({first.http_port, first.probe_port, second.http_port, second.probe_port}) == 4


async def test_a_taken_port_is_named() -> None:
    first = Listener(hello, "127.0.0.1", 0)
    port = await first.open()
    try:
        with pytest.raises(PortTaken, match=f"cannot listen on 127.0.0.1:{port}"):
            await Listener(hello, "127.0.0.1", port).open()
    finally:
        await first.close(1)


PROGRAM = """
    import sys
    from pathlib import Path
    from shared.runtime.component import Service
    from shared.runtime.health import Health
    from shared.runtime.logging import configure
    from shared.runtime.metrics import Metrics
    from shared.runtime.serve import run
    from shared.runtime.settings import Settings

    class Part:
        async def start(self):
            Path(sys.argv[1]).write_text("started")
        async def stop(self):
            Path(sys.argv[1]).write_text("stopped")

    configure()
    sys.exit(run(lambda: [Service("routing", Settings(), Health(), Metrics(), [Part()])]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_ends_in_order_on_signals_however_many(tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "state"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(PROGRAM), str(state), stdout=asyncio.subprocess.PIPE
    )
    await eventually(lambda: state.exists() and state.read_text() == "started", "started")
    process.send_signal(number)
    process.send_signal(number)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, state.read_text()) == (0, "stopped")
    assert b'"event":"stopped"' in out
