"""`relaydesk run`: engines, topics, services, proxy, web chat, bot and demo workspace as children of this one process.

Everything here happens in the main thread: the kernel ties the children's lives to the thread that started them.
"""

import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from relaydesk.demo import ChatAddresses, Demo, DemoChannel, prepare
from relaydesk.demo_command import examples_environment, print_addresses
from relaydesk.engine_choice import Engines, choose
from relaydesk.environment import base_url, service_environment
from relaydesk.errors import CommandError
from relaydesk.info import document
from relaydesk.installation import DataLock, installation_secrets, write_whole
from relaydesk.ports import Ports
from relaydesk.processes import COMMAND, Processes, has_example
from relaydesk.readiness import answers
from relaydesk.services import SERVICES
from shared.engines.ports import require_free
from shared.engines.process import run_tool

READY_WITHIN_S = 120.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `info` is written beside DATA/info.json."""

    data: Path
    ports: Ports
    info: Path | None = None
    split: bool = False


class Stopped(BaseException):
    """Ctrl-C or SIGTERM arrived, wherever we are."""


class _Told:
    """That it arrived. An exception alone is not enough: Python drops one that comes up in a destructor, or in what it
    runs around a fork."""

    def __init__(self) -> None:
        self.to_stop = False

    def check(self) -> None:
        """Stopped, if it was raised before and got lost."""
        if self.to_stop:
            raise Stopped


_told = _Told()


def run(options: Options) -> int:
    """Run until Ctrl-C or SIGTERM, then stop everything that was started. Raises CommandError, EngineError."""
    _told.to_stop = False
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with contextlib.suppress(Stopped), contextlib.ExitStack() as undo:
        undo.callback(_ignore_signals)
        _Run(options, undo).run()
    return 0


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    _ignore_signals()  # a second Ctrl-C must not cut off the stopping
    _told.to_stop = True
    raise Stopped


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class _Run:
    """One run. `undo` takes down what has been put up, in reverse: engines last."""

    def __init__(self, options: Options, undo: contextlib.ExitStack) -> None:
        self._started = time.monotonic()
        self._undo = undo
        self._data = options.data.resolve()
        self._ports = options.ports
        self._infos = {path.resolve() for path in (options.data / "info.json", options.info) if path}
        undo.enter_context(DataLock(self._data))
        self._secrets = installation_secrets(self._data)
        self._engines: Engines = choose(self._data, self._ports, self._secrets)
        self._environment = service_environment(self._ports, self._secrets, self._engines.addresses)
        self._processes = Processes(self._data / "logs", self._environment, options.split)

    def run(self) -> NoReturn:
        self._forget_info()
        require_free("relaydesk", self._ports.own())
        for step in (self._start_engines, self._apply_topics, self._start_processes):
            step()
            _told.check()
        demo = self._make_demo()
        self._undo.callback(self._forget_info)
        self._write_info(demo)
        self._say("ready; Ctrl-C stops everything")
        print_addresses(self._ports, demo.tokens["agent"])
        self._watch(demo)

    def _start_engines(self) -> None:
        self._say(f"starting the engines; data and logs are under {self._data}")
        self._undo.callback(self._engines.stop)
        self._undo.callback(self._say, "stopping the engines")
        self._engines.start(self._say)

    def _apply_topics(self) -> None:
        done = run_tool([sys.executable, *COMMAND, "topics", "apply"], self._environment)
        if done.returncode != 0:
            raise CommandError(done.stderr.strip() or "`relaydesk topics apply` failed")
        self._say("topics are as declared")

    def _start_processes(self) -> None:
        self._undo.callback(self._processes.stop)
        self._undo.callback(self._say, "stopping the services")
        for engine in self._engines:
            self._processes.keep(engine)
        self._processes.start_services()
        self._processes.start_proxy(self._ports)
        self._wait({name: (self._ports.probe(name), "/readyz") for name in SERVICES})

    def _make_demo(self) -> Demo:
        bot = f"{base_url(self._ports.bot)}/" if has_example("bot") else None
        chat = ChatAddresses(f"{base_url(self._ports.webchat)}/deliveries", bot)
        demo = prepare(base_url(self._ports.api), self._data, self._secrets, chat)
        self._start_examples(demo.webchat)
        return demo

    def _start_examples(self, channel: DemoChannel) -> None:
        """The web chat and its bot, each a process; what this copy doesn't have is left out."""
        settings = examples_environment(self._ports, channel, self._data)
        ports = {"webchat": self._ports.webchat, "bot": self._ports.bot}
        present = [name for name in ports if has_example(name)]
        for name in present:
            self._processes.start_example(name, settings)
        self._wait({name: (ports[name], "/healthz") for name in present})

    def _wait(self, pending: dict[str, tuple[int, str]]) -> None:
        """Until each (port, path) answers 200; CommandError when one of the processes keeps dying."""
        deadline = time.monotonic() + READY_WITHIN_S
        while pending:
            _told.check()
            self._processes.look()
            self._processes.require_health()
            for name in [name for name, (port, path) in pending.items() if answers(port, path)]:
                del pending[name]
                self._say(f"{name} is ready")
            if time.monotonic() > deadline:
                raise CommandError(
                    f"not ready within {READY_WITHIN_S:g} s: {', '.join(pending)}; see {self._data}/logs"
                )
            time.sleep(LOOK_EVERY_S)

    def _watch(self, demo: Demo) -> NoReturn:
        while True:
            _told.check()
            restarted = self._processes.look()
            if restarted:
                self._write_info(demo)
                self._say(f"{', '.join(restarted)} ended and was started again; see {self._data}/logs")
            time.sleep(LOOK_EVERY_S)

    def _write_info(self, demo: Demo) -> None:
        text = json.dumps(document(self._ports, self._engines, self._processes, demo), indent=2)
        for path in self._infos:
            write_whole(path, text)

    def _forget_info(self) -> None:
        for path in self._infos:
            path.unlink(missing_ok=True)

    def _say(self, line: str) -> None:
        print(f"[{time.monotonic() - self._started:5.1f} s] {line}", flush=True)
