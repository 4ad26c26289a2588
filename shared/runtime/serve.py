"""The life of a process: listen, start, serve, drain, stop. Knows components and HTTP, and nothing of any service.

Probes answer from the first moment: alive, not ready. An engine that is away at start is waited for, not died of. On
SIGTERM or SIGINT: unready, drain, finish open requests, stop components in reverse order; all of it within 15 seconds.
"""

import asyncio
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
import uvloop

from shared.runtime.component import ASGIApp, Component, Receive, Scope, Send, Service
from shared.runtime.engine_errors import is_away
from shared.runtime.health import Health
from shared.runtime.http_boundary import answer
from shared.runtime.listening import Listener
from shared.runtime.probes import probe_app
from shared.runtime.problems import unavailable
from shared.runtime.tasks import ended

STOP_WITHIN_S = 15.0
REQUESTS_WITHIN_S = 8.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 2.0
LOG_EVERY = 30
HARD_STOP_S = STOP_WITHIN_S + 2.0

Build = Callable[[], Sequence[Service]]
_log = structlog.stdlib.get_logger(__name__)


def run(build: Build) -> int:
    """Build the services inside a new uvloop, serve them, answer the exit status. Blocks until a signal or a fault."""
    _allow_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_built(build))


def _allow_open_files() -> None:
    """As many as the system lets us have: every socket is one, and the usual soft limit is 1,024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _built(build: Build) -> int:
    return await serve(build(), on_stopping=_stop_hard_later)


async def serve(services: Sequence[Service], on_stopping: Callable[[], None] = lambda: None) -> int:
    """Serve until a signal (0) or until a component dies or cannot start (1). SettingsError where a port is taken."""
    running = [_Running(service) for service in services]
    stop = asyncio.Event()
    with _signals(stop):
        try:
            for one in running:
                await one.listen()
            cause = await _first_end(running, stop)
        finally:
            on_stopping()
            in_time = await _stopped(running)
    if cause is not None:
        _log.critical("ended by a fault", exc_info=cause)
    return 0 if cause is None and in_time else 1


class _Running:
    """One service on its way through its life."""

    def __init__(self, service: Service) -> None:
        settings, health = service.settings, service.health
        self.service = service
        self._begun: list[Component] = []
        self._probes = Listener(probe_app(service.name, health, service.metrics), settings.host, service.probe_port)
        self._http = service.http and Listener(_gated(service.http, health), settings.host, service.http_port)

    async def listen(self) -> None:
        self.service.probe_port = await self._probes.open()
        if self._http is not None:
            self.service.http_port = await self._http.open()

    async def start(self) -> None:
        """Returns when every component works. Raises what is not a matter of waiting."""
        structlog.contextvars.bind_contextvars(service=self.service.name)
        begun = time.monotonic()
        for component in self.service.components:
            self._begun.append(component)
            await _insist(component)
        self.service.health.started = True
        ports = {"http": self.service.http_port, "probe": self.service.probe_port}
        _log.info("started", seconds=round(time.monotonic() - begun, 3), **ports)

    async def stop(self) -> None:
        """Requests first, then components in reverse, then the probes; a component that fails holds up no other."""
        drains = asyncio.gather(*(drain() for drain in self.service.drains), return_exceptions=True)
        if self._http is not None:
            await self._http.close(REQUESTS_WITHIN_S)
        await drains
        for component in reversed(self._begun):
            try:
                await component.stop()
            except Exception as error:  # noqa: BLE001 - the others must be closed too
                _log.error("a component did not stop well", component=type(component).__name__, exc_info=error)
        await self._probes.close(1.0)

    def abandon(self) -> None:
        for listener in (self._http, self._probes):
            if listener is not None:
                listener.abandon()


async def _insist(component: Component) -> None:
    delay, failures = FIRST_RETRY_S, 0
    while True:
        try:
            return await component.start()
        except Exception as error:
            if not is_away(error):
                raise
            if failures % LOG_EVERY == 0:
                _log.warning("waiting for an engine", component=type(component).__name__, reason=str(error))
        failures += 1
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_RETRY_S)


async def _first_end(running: Sequence[_Running], stop: asyncio.Event) -> BaseException | None:
    """Start all at once; answer the first fault of any, or None when told to stop."""
    ends = [_failed_start(running), _told(stop), *(one.service.health.died() for one in running)]
    tasks = [asyncio.create_task(end) for end in ends]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next((cause for task in tasks if task in done and (cause := task.result()) is not None), None)
    finally:
        await ended(tasks)


async def _failed_start(running: Sequence[_Running]) -> BaseException | None:
    """Start all, then wait for ever; answers only where one cannot start."""
    try:
        async with asyncio.TaskGroup() as starting:
            for one in running:
                starting.create_task(one.start())
    except ExceptionGroup as errors:
        return errors.exceptions[0]
    await asyncio.get_running_loop().create_future()
    return None


async def _told(stop: asyncio.Event) -> None:
    await stop.wait()


async def _stopped(running: Sequence[_Running]) -> bool:
    """Whether all was closed in time."""
    for one in running:
        one.service.health.draining = True
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await asyncio.sleep(max((one.service.settings.drain_s for one in running), default=0.0))
            await asyncio.gather(*(one.stop() for one in running))
    except TimeoutError:
        _log.error("not everything could be closed in time", seconds=STOP_WITHIN_S)
        for one in running:
            one.abandon()
        return False
    _log.info("stopped")
    return True


def _gated(app: ASGIApp, health: Health) -> ASGIApp:
    """503 until everything the handlers use has started."""

    async def gated(scope: Scope, receive: Receive, send: Send) -> None:
        if health.started or scope["type"] != "http":
            await app(scope, receive, send)
        else:
            await answer(unavailable("The service is still starting: retry with the same id."))(scope, receive, send)

    return gated


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; more of them change nothing (Ctrl-C and a supervisor may both send one)."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            with suppress(RuntimeError):
                loop.remove_signal_handler(number)


def _stop_hard_later() -> None:
    """A thread that hangs in a library must not keep a stopped process: it goes down anyway, a little later."""
    timer = threading.Timer(HARD_STOP_S, os._exit, (1,))
    timer.daemon = True
    timer.start()
