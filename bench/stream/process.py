"""A measurement in a process of its own: what another has left in memory, or has warmed up, must not be counted."""

import asyncio
import multiprocessing
import os
from collections.abc import Coroutine
from multiprocessing.connection import Connection

import uvloop

Measure = Coroutine[None, None, tuple[float, ...]]


def in_a_process(measure: Measure) -> tuple[float, ...]:
    """What the coroutine answers. EOFError where it failed."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_answer, args=(measure, sender))
    process.start()
    measure.close()
    sender.close()
    try:
        found: tuple[float, ...] = receiver.recv()
    finally:
        process.join()
    return found


def _answer(measure: Measure, sender: Connection) -> None:
    code = 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sender.send(runner.run(measure))
            sender.close()
            code = 0
            _end(code)
    finally:
        _end(code)


def _end(code: int) -> None:
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(code)
