"""What Kafka, mongod and S3 have in common as processes of this machine."""

from abc import ABC, abstractmethod
from pathlib import Path

from shared.engines.process import Child


class Engine(ABC):
    """A server process that can be stopped, killed and started again on the same port and data."""

    grace = 4.0

    def __init__(self, name: str, logs: Path) -> None:
        self.name = name
        self._child = Child(name, (), logs / f"{name}.log")

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address as clients write it."""

    @abstractmethod
    def start(self) -> None:
        """Start the process; returns before it answers. Raises EngineError."""

    @abstractmethod
    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until it does what it is for; raises EngineError with the end of its log."""

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.running

    def terminate(self) -> None:
        """Ask it to end and return at once; `stop` waits for it."""
        self._child.terminate()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after `grace` seconds; data stays. May be repeated."""
        self._child.stop(self.grace)

    def kill(self) -> None:
        """SIGKILL, as a fault; returns when it is gone."""
        self._child.kill()
