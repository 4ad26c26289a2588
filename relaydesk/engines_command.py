"""`relaydesk engines up|down`: the engines alone, for working on a service or a test run after test run."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from relaydesk.installation import DataLock, installation_secrets, write_whole
from relaydesk.ports import Ports
from shared.engines.local import LocalEngines
from shared.engines.process import EngineError

START_LIMIT_S = 180.0
STOP_LIMIT_S = 30.0


def up(data: Path, ports: Ports) -> int:
    """Run the engines until Ctrl-C, SIGTERM or `down`; their addresses are in DATA/engines.json meanwhile."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    with DataLock(data):
        engines = LocalEngines(data, ports.engines, installation_secrets(data).s3_keys)
        engines.start(print)
        try:
            return _serve(engines, data / "engines.json", ended)
        finally:
            engines.stop()


def _serve(engines: LocalEngines, state: Path, ended: threading.Event) -> int:
    write_whole(state, json.dumps(engines.addresses.environment() | {"pid": os.getpid()}, indent=2))
    print(f"engines are up; their addresses and keys are in {state}; Ctrl-C stops them", flush=True)
    try:
        return _watch(engines, ended)
    finally:
        state.unlink()


def _watch(engines: LocalEngines, ended: threading.Event) -> int:
    while not ended.wait(0.5):
        for engine in engines:
            if not engine.running:
                print(f"{engine.name} ended by itself; see its log", file=sys.stderr)
                return 1
    return 0


def up_detached(data: Path, ports: Ports) -> int:
    """The same in the background; returns when they are ready. `down` stops them."""
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "relaydesk", "engines", "up", "--data", str(data), "--port-base", str(ports.base)]
    with (data / "engines.log").open("w") as log:
        holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + START_LIMIT_S
    while not (data / "engines.json").exists():
        if holder.poll() is not None or time.monotonic() > deadline:
            raise EngineError((data / "engines.log").read_text().strip() or "the engines did not get ready")
        time.sleep(0.1)
    print((data / "engines.log").read_text(), end="")
    return 0


def down(data: Path) -> int:
    """Stop the engines that run over this data folder; returns when they are gone. That none run is no error."""
    lock = DataLock(data)
    pid = lock.holder()
    if pid is None:
        print(f"nothing runs over {data}")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while lock.holder() == pid:
        if time.monotonic() > deadline:
            raise EngineError(f"process {pid} did not stop within {STOP_LIMIT_S:g} s")
        time.sleep(0.1)
    print("stopped")
    return 0
