"""One more broker of a Kafka that runs: it makes two of a test's one."""

from pathlib import Path

from shared.engines.kafka import NODE_ID, Kafka
from shared.engines.ports import LOOPBACK, free_ports


class SecondBroker(Kafka):
    """Follows the first one's controller and has none. The first one runs before this one starts and while it runs."""

    def __init__(self, first: Kafka, folder: Path, cache: Path) -> None:
        port, unused = free_ports(2)
        super().__init__(folder, folder / "logs", port, unused, cache)
        self._first = first

    def cluster(self) -> str:
        properties = (self._first.data / "log" / "meta.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in properties if "=" in line)["cluster.id"]

    def listener_settings(self) -> dict[str, str]:
        return {
            "process.roles": "broker",
            "node.id": str(NODE_ID + 1),
            "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{self._first.controller_port}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
        }
