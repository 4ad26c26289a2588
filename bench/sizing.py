"""What an installation needs, from what the benches measured: `python -m bench.sizing --help`.

Costs are those of docs/benchmarks.md; a plan multiplies them and adds no opinion but the reserve it names.
"""

import argparse
import math
from dataclasses import dataclass

DAY_S = 86_400
INGEST_US, ROUTING_US, GATEWAY_US = 300, 205, 255
"""CPU of a message that comes alone (`bench.pipeline`, one event a request); dispatch costs about what ingest does."""
ENGINES_US = 507
ROUTING_PER_PARTITION = 1_512 // 12
"""Messages a second of one partition where one core does everything: a floor, routing alone does more."""
SOCKET_BYTES, SOCKET_US_S = 14_927, 0.72
DELIVERIES_S = 324_589
"""Frames a CPU second, each event written for itself (`bench.stream`, `fanout`); joined ones cost an eighth."""
RING_BYTES, BASE_BYTES = 12 * 32 << 20, 160 << 20
EVENTS_A_MESSAGE = 2.5
RECORD_BYTES = {"in and its event": 872 + 1_120, "out, its event, states and delivery": 755 + 856 + 3 * 500 + 779}
RETENTION_DAYS, COPIES = 7, 3


@dataclass(frozen=True, slots=True)
class Plan:
    """`conversations` a day of `messages` each, half of them agents'; `peak`: the busiest second of the average one."""

    conversations: int
    messages: int
    peak: float
    sockets: int
    workspaces: int
    utilization: float
    sockets_per_replica: int

    @property
    def average_s(self) -> float:
        return self.conversations * self.messages / DAY_S

    @property
    def peak_s(self) -> float:
        return self.average_s * self.peak

    @property
    def fanout_s(self) -> float:
        """Frames a second to all sockets: an event goes to all of its workspace."""
        return self.peak_s * EVENTS_A_MESSAGE * self.sockets / self.workspaces

    def rows(self) -> list[tuple[str, str, str]]:
        """What, how much, how it follows."""
        replicas = max(2, math.ceil(self.sockets / self.sockets_per_replica) + 1)
        log_gb = self.average_s * DAY_S * sum(RECORD_BYTES.values()) / 2 * RETENTION_DAYS * COPIES / 1e9
        archive_gb = self.average_s * DAY_S * 365 * EVENTS_A_MESSAGE * 1_000 / 1e9
        return [
            ("messages a second, average", f"{self.average_s:,.0f}", "conversations x messages / day"),
            ("messages a second, peak", f"{self.peak_s:,.0f}", f"x {self.peak:g}"),
            ("ingest", self._cores(INGEST_US), f"{INGEST_US} us a message"),
            ("routing", self._cores(ROUTING_US), f"{ROUTING_US} us a message"),
            ("dispatch", self._cores(INGEST_US), f"{INGEST_US} us a message"),
            ("gateway, read model and commands", self._cores(GATEWAY_US), f"{GATEWAY_US} us a message"),
            ("gateway, frames", self._of(self.fanout_s / DELIVERIES_S), f"{self.fanout_s:,.0f} frames a second"),
            ("gateway, idle sockets", self._of(self.sockets * SOCKET_US_S / 1e6), f"{SOCKET_US_S} us a second each"),
            ("gateway replicas", f"{replicas}", f"{self.sockets_per_replica:,} sockets each, one to spare"),
            ("memory of a gateway replica", self._memory(), "sockets, rings, process"),
            ("Kafka and MongoDB", self._cores(ENGINES_US), f"{ENGINES_US} us a message, before replication"),
            ("Kafka's disks", f"{log_gb:,.0f} GB", f"{RETENTION_DAYS} days, {COPIES} copies, uncompressed"),
            ("archive, a year", f"{archive_gb:,.0f} GB", "1 kB an event, before MongoDB's compression and copies"),
            ("share of 12 partitions", f"{self.peak_s / 12 / ROUTING_PER_PARTITION:.0%}", "of routing, at the peak"),
        ]

    def _cores(self, microseconds: float) -> str:
        return self._of(self.peak_s * microseconds / 1e6)

    def _of(self, busy: float) -> str:
        return f"{busy / self.utilization:.1f} cores"

    def _memory(self) -> str:
        own = self.sockets_per_replica * SOCKET_BYTES + RING_BYTES + BASE_BYTES
        return f"{own / (1 << 20):,.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--conversations", type=int, default=1_000_000, metavar="N", help="a day")
    parser.add_argument("--messages", type=int, default=10, metavar="N", help="in each, both ways")
    parser.add_argument("--peak", type=float, default=4.0, metavar="X", help="busiest second / average second")
    parser.add_argument("--sockets", type=int, default=100_000, metavar="N", help="agents connected at the peak")
    parser.add_argument("--workspaces", type=int, default=1_000, metavar="N", help="that share them evenly")
    parser.add_argument("--utilization", type=float, default=0.5, metavar="U", help="of the cores at the peak")
    parser.add_argument("--sockets-per-replica", type=int, default=12_500, metavar="N", help="planned")
    plan = Plan(**vars(parser.parse_args()))
    print("| what | plan | from |\n|---|---|---|")
    for what, figure, basis in plan.rows():
        print(f"| {what} | {figure} | {basis} |")


if __name__ == "__main__":
    main()
