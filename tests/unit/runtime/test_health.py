"""Liveness asks whether the process moves, readiness whether it can serve; neither asks for the other."""

import asyncio
import time

import orjson
import pytest

from shared.runtime.health import Health
from shared.runtime.metrics import Metrics
from shared.runtime.probes import probe_app
from tests.unit.runtime.asgi import call


class Engine:
    def __init__(self) -> None:
        self.error: Exception | None = None

    async def ping(self) -> None:
        if self.error is not None:
            raise self.error


async def test_a_service_is_alive_but_not_ready_while_it_starts() -> None:
    health = Health()
    assert health.stuck() == {}
    assert await health.missing() == {"started": "still starting"}


async def test_an_engine_away_makes_it_unready_but_not_dead() -> None:
    health, engine = Health(), Engine()
    health.started = True
    health.ready_when_reachable("mongo", engine)
    assert await health.missing() == {}
    engine.error = ConnectionError("gone")
    assert await health.missing() == {"mongo": "ConnectionError"}
    assert health.stuck() == {}


async def test_a_check_that_hangs_counts_as_missing_within_a_second() -> None:
    async def hangs() -> str | None:
        await asyncio.sleep(600)
        return None

    health = Health()
    health.started = True
    health.ready_when("slow", hangs)
    begun = time.monotonic()
    assert await health.missing() == {"slow": "no answer within 1 s"}
    assert time.monotonic() - begun < 60, "it hangs for ten minutes"


async def test_draining_is_unready() -> None:
    health = Health()
    health.started = health.draining = True
    assert await health.missing() == {"draining": "shutting down"}


async def test_what_makes_no_progress_is_named() -> None:
    health = Health()
    health.alive_while("consumer", lambda: None)
    health.alive_while("tail", lambda: "stands at 5 since 60 s")
    assert health.stuck() == {"tail": "stands at 5 since 60 s"}


async def test_the_first_fatal_error_is_the_cause_of_death() -> None:
    health, first = Health(), ValueError("first")
    health.fatal(first)
    health.fatal(ValueError("second"))
    assert await health.died() is first
    assert health.stuck() == {"fatal": "ValueError"}


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/metrics", 200), ("/", 404), ("/readyz/", 404)]
)
async def test_probes_answer_from_the_first_moment(path: str, status: int) -> None:
    answer = await call(probe_app("routing", Health(), Metrics()), "GET", path)
    assert answer.status == status


async def test_readyz_names_what_is_missing_and_shows_in_the_metrics() -> None:
    health, engine, metrics = Health(), Engine(), Metrics()
    health.started = True
    health.ready_when_reachable("kafka", engine)
    app = probe_app("routing", health, metrics)
    assert (await call(app, "GET", "/readyz")).status == 200
    assert b"relaydesk_ready 1.0" in (await call(app, "GET", "/metrics")).body
    engine.error = ConnectionError()
    answer = await call(app, "GET", "/readyz")
    assert (answer.status, orjson.loads(answer.body)["missing"]) == (503, {"kafka": "ConnectionError"})
    assert b"relaydesk_ready 0.0" in (await call(app, "GET", "/metrics")).body


async def test_startup_ends_once_and_does_not_ask_for_the_engines() -> None:
    health, engine = Health(), Engine()
    health.ready_when_reachable("kafka", engine)
    app = probe_app("routing", health, Metrics())
    assert (await call(app, "GET", "/startupz")).status == 503
    health.started, engine.error = True, ConnectionError("gone")
    assert (await call(app, "GET", "/startupz")).status == 200
