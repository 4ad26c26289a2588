"""All three engines of a local installation as one thing."""

import contextlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.engines.addresses import Addresses
from shared.engines.engine import Engine
from shared.engines.kafka import Kafka
from shared.engines.mongo import Mongo
from shared.engines.ports import free_ports
from shared.engines.s3 import S3, S3Keys

CACHE = Path(__file__).resolve().parents[2] / ".local" / "cache"


@dataclass(frozen=True, slots=True)
class EnginePorts:
    kafka: int
    kafka_controller: int
    mongo: int
    s3: int

    @classmethod
    def free(cls) -> "EnginePorts":
        """Four ports that nobody uses at this moment."""
        return cls(*free_ports(4))


class LocalEngines:
    """Kafka, MongoDB and S3 over one data folder: `DATA/{kafka,mongo,s3}`, logs in `DATA/logs`.

    `wanted` names those to run; the others are somebody else's.
    """

    def __init__(
        self, data: Path, ports: EnginePorts, keys: S3Keys, wanted: Container[str] = ("kafka", "mongo", "s3")
    ) -> None:
        data, logs = data.resolve(), data.resolve() / "logs"
        self.kafka = Kafka(data, logs, ports.kafka, ports.kafka_controller, CACHE)
        self.mongo = Mongo(data, logs, ports.mongo)
        self.s3 = S3(data, logs, ports.s3, keys)
        self._wanted = wanted

    def __iter__(self) -> Iterator[Engine]:
        """Those that are ours; Kafka last: it may have to fetch and format before it starts."""
        return (engine for engine in (self.mongo, self.s3, self.kafka) if engine.name in self._wanted)

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.kafka.url, self.mongo.url, self.s3.url, self.s3.keys)

    def start(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Start all, then wait for each (about 4 s). Raises EngineError with everything stopped again."""
        with contextlib.ExitStack() as undo:
            for engine in self:
                engine.start()
                undo.callback(engine.stop)
            for engine in self:
                engine.wait_ready()
                say(f"{engine.name} is ready at {engine.url}")
            undo.pop_all()

    def stop(self) -> None:
        """Stop what runs; data stays."""
        for engine in self:
            engine.terminate()
        for engine in self:
            engine.stop()
