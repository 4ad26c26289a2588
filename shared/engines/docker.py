"""The same three engines as containers (deploy/compose/engines.yml), for machines without Java and Maven."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from shared.engines.addresses import Addresses
from shared.engines.engine import Engine
from shared.engines.local import EnginePorts
from shared.engines.mongo import REPLICA_SET
from shared.engines.ports import LOOPBACK
from shared.engines.process import EngineError
from shared.engines.s3 import S3Keys

FILE = Path(__file__).resolve().parents[2] / "deploy" / "compose" / "engines.yml"


class DockerEngines:
    """One compose project. Its data lives in the project's volumes and outlives `stop`."""

    def __init__(self, project: str, ports: EnginePorts, keys: S3Keys) -> None:
        self._project = project
        self._ports = ports
        self._keys = keys

    @property
    def addresses(self) -> Addresses:
        ports = self._ports
        mongo = f"mongodb://{LOOPBACK}:{ports.mongo}/?replicaSet={REPLICA_SET}"
        return Addresses(f"{LOOPBACK}:{ports.kafka}", mongo, f"http://{LOOPBACK}:{ports.s3}", self._keys)

    def __iter__(self) -> Iterator[Engine]:
        """None of them is a process of ours: Docker restarts them."""
        return iter(())

    def start(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Start the containers and wait until all are healthy; the first time for minutes. Raises EngineError."""
        say("starting the engines with docker compose (the first time it fetches the images)")
        self._compose("up", "--detach", "--wait")

    def stop(self) -> None:
        """Remove the containers; the volumes stay."""
        self._compose("down", "--timeout", "5")

    def _compose(self, *words: str) -> None:
        docker = shutil.which("docker")
        if docker is None:
            raise EngineError("ENGINES=docker needs `docker` with the compose plugin, which was not found: install it")
        done = subprocess.run(
            [docker, "compose", "--file", FILE, *words],
            env={**os.environ, **self.variables()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            process_group=0,  # Ctrl-C must not cut off `down`
        )
        if done.returncode != 0:
            raise EngineError(f"docker compose {words[0]} failed: {_reason(done.stderr or done.stdout)}")

    def variables(self) -> dict[str, str]:
        """What the compose file leaves open."""
        return {
            "COMPOSE_PROJECT_NAME": self._project,
            "KAFKA_PORT": str(self._ports.kafka),
            "MONGO_PORT": str(self._ports.mongo),
            "S3_PORT": str(self._ports.s3),
            "S3_ACCESS_KEY": self._keys.access,
            "S3_SECRET_KEY": self._keys.secret,
        }


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("unknown" in line and "flag" in line for line in lines):
        return "this docker has no compose plugin; install it"
    return lines[-1] if lines else "no reason given"
