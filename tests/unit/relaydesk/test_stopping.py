"""Ctrl-C is never lost, wherever it arrives."""

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from relaydesk import run as running

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


class _Swallowing:
    """Where an exception is dropped: Python does so in destructors, and in what it runs around a fork."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)  # the handler runs here


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_was_dropped_where_it_arrived_is_noticed_at_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Run:
        def __init__(self, options: Any, undo: contextlib.ExitStack) -> None:
            undo.callback(done.append, "taken down")

        def run(self) -> None:
            one = _Swallowing()
            del one
            done.append("went on")
            running._told.check()
            done.append("not reached")

    monkeypatch.setattr(running, "_Run", Run)
    assert running.run(None) == 0  # type: ignore[arg-type]
    assert done == ["went on", "taken down"]
