"""The same fan-out with what people take otherwise: `websockets.broadcast`, and Starlette on uvicorn."""

import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable

from bench.pipeline.report import Bar
from bench.stream.figures import per_cpu_second
from bench.stream.gateway import VALUE, gateway, record
from bench.stream.process import in_a_process
from bench.stream.sink import Sink, until

SOCKETS = 1_000
TEXT = (VALUE + b"x" * 100).decode()
"""About as long as the gateway's frames."""

MISSING = "left out: needs the package `websockets` (pip install --require-hashes -r requirements-dev.lock)"


async def others(quick: bool) -> list[Bar]:
    """All of a server's CPU counts here, also what its event loop does later with what it was given."""
    if importlib.util.find_spec("websockets") is None:
        print(f"  {MISSING}")
        return []
    events = 64 if quick else 320
    ours = in_a_process(_gateway(events))[0]
    broadcast = in_a_process(_websockets(events))[0]
    starlette = in_a_process(_starlette(events))[0]
    for name, rate in (("gateway", ours), ("websockets.broadcast", broadcast), ("Starlette send_text", starlette)):
        print(f"  {name:<22} {rate:>10,.0f} deliveries per CPU second", flush=True)
    return [
        Bar("1 event to 1,000 sockets, of websockets.broadcast", ours / broadcast, 1.5),
        Bar("1 event to 1,000 sockets, of Starlette send_text", ours / starlette, 1.7),
    ]


async def _rate(sink: Sink, step: Callable[[int], Awaitable[None]], events: int) -> tuple[float, ...]:
    await asyncio.sleep(0.5)  # the welcomes
    due, begun = sink.taken, time.process_time()
    for number in range(events):
        await step(number)
        due += len(TEXT) * SOCKETS
        while sink.taken < due:  # noqa: ASYNC110 -- another process sets it; seldom asked, since asking costs CPU too
            await asyncio.sleep(0.005)
    return (per_cpu_second(events * SOCKETS, time.process_time() - begun),)


async def _gateway(events: int) -> tuple[float, ...]:
    server, sink = gateway(heartbeat_s=3600), Sink()
    await server.start()
    sink.start(server.port, server.issue(SOCKETS))
    await until(lambda: len(server.hub.everybody()) == SOCKETS)

    async def step(number: int) -> None:
        server.take([record(number)])

    return await _rate(sink, step, events)


async def _websockets(events: int) -> tuple[float, ...]:
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    connected: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        connected.add(connection)
        await connection.wait_closed()

    async def step(number: int) -> None:
        broadcast(connected, TEXT)

    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        sink = Sink()
        sink.start(next(iter(server.sockets)).getsockname()[1], [""] * SOCKETS)
        await until(lambda: len(connected) == SOCKETS)
        return await _rate(sink, step, events)


async def _starlette(events: int) -> tuple[float, ...]:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    connected: set[WebSocket] = set()

    async def endpoint(connection: WebSocket) -> None:
        await connection.accept()
        connected.add(connection)
        await connection.receive()

    async def step(number: int) -> None:
        for connection in connected:
            await connection.send_text(TEXT)

    app = Starlette(routes=[WebSocketRoute("/v1/stream", endpoint)])
    plain = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
    server = uvicorn.Server(plain)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    sink = Sink()
    sink.start(server.servers[0].sockets[0].getsockname()[1], [""] * SOCKETS)
    await until(lambda: len(connected) == SOCKETS)
    rate = await _rate(sink, step, events)
    serving.cancel()
    return rate
