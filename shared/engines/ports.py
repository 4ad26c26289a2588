"""Which TCP ports an engine may take."""

import random
import socket
from collections.abc import Iterable

from shared.engines.process import EngineError

# Below the range from which the kernel picks source ports: a stopped engine finds its port free when it comes back.
CANDIDATES = range(10_000, 20_000)
LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: a closing connection is no obstacle
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def require_free(name: str, ports: Iterable[int]) -> None:
    """Raise EngineError that names the first port which somebody else listens on."""
    for port in ports:
        if not is_free(port):
            raise EngineError(
                f"{name}: port {port} is already taken by another program; stop it or choose other ports (--port-base)"
            )


def accepts(port: int) -> bool:
    """Whether something listens there and takes a connection now."""
    try:
        socket.create_connection((LOOPBACK, port), 1.0).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different ports, free at this moment and in no one's port layout."""
    found: list[int] = []
    for port in random.sample(CANDIDATES, len(CANDIDATES)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise EngineError("no free ports between 10000 and 20000")
