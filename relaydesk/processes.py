"""The child processes of one installation besides its engines: services, the proxy, the examples."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from relaydesk.environment import base_url
from relaydesk.errors import CommandError
from relaydesk.keeper import Keeper
from relaydesk.ports import Ports
from relaydesk.services import SERVICES
from shared.engines.engine import Engine
from shared.engines.process import Child

COMMAND = ("-P", "-m", "relaydesk")
"""-P: whatever the current folder holds, it is this installation's code that runs."""

ALL_SERVICES = "services"
PROXY = "proxy"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SERVICES_GRACE_S = 15.0
PROXY_GRACE_S = 2.0


class Processes:
    """Started children, each kept running until `stop`. Engines may be kept running too, but are not stopped here."""

    def __init__(self, logs: Path, environment: Mapping[str, str], split: bool) -> None:
        self._logs = logs
        self._environment = environment
        self._split = split
        self._children: dict[str, Child] = {}
        self._keepers: list[Keeper] = []

    def start_services(self) -> None:
        """One process for all services, or one each with `split`."""
        for name, served in {name: [name] for name in SERVICES}.items() if self._split else [(ALL_SERVICES, SERVICES)]:
            self._start(name, [*COMMAND, "serve", *served])

    def start_proxy(self, ports: Ports) -> None:
        upstreams = [f"{name}={base_url(ports.http(name))}" for name in SERVICES]
        self._start(PROXY, [*COMMAND, "proxy", "--port", str(ports.api), *upstreams])

    def start_example(self, name: str, settings: Mapping[str, str]) -> None:
        self._start(name, [str(_server(name))], settings)

    def keep(self, engine: Engine) -> None:
        self._keepers.append(Keeper(engine))

    def pid(self, service: str) -> int:
        return self._children[service if self._split else ALL_SERVICES].pid

    def look(self) -> list[str]:
        """Start again what died; the names of what has a new pid. To be called often; does not block."""
        return [keeper.process.name for keeper in self._keepers if keeper.look()]

    def require_health(self) -> None:
        """Raises CommandError that names a process which keeps dying."""
        for keeper in self._keepers:
            if keeper.failing:
                log = self._logs / f"{keeper.process.name}.log"
                raise CommandError(f"{keeper.process.name} keeps ending; see {log}, which ends:\n{_end_of(log)}")

    def stop(self) -> None:
        """Stop all but the engines, the proxy last; returns when they are gone, after 17 s at most."""
        self._keepers.clear()
        proxy = self._children.pop(PROXY, None)
        _stop_all(list(self._children.values()), SERVICES_GRACE_S)
        _stop_all([proxy] if proxy else [], PROXY_GRACE_S)

    def _start(self, name: str, arguments: Sequence[str], more: Mapping[str, str] | None = None) -> None:
        environment = {**self._environment, **(more or {})}
        child = Child(name, [sys.executable, *arguments], self._logs / f"{name}.log", environment)
        child.start()
        self._children[name] = child
        self._keepers.append(Keeper(child))


def has_example(name: str) -> bool:
    """False where this copy of Relaydesk was installed without its examples."""
    return _server(name).exists()


def _server(example: str) -> Path:
    return EXAMPLES / example / "server.py"


def _stop_all(children: Sequence[Child], grace: float) -> None:
    deadline = time.monotonic() + grace
    for child in children:
        child.terminate()
    for child in children:
        child.stop(deadline - time.monotonic())


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-3:])
