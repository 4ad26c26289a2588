"""What is printed: figures, bars, and the same as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.pipeline.latency import Spread


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    value: float
    bar: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def line(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"  {self.name:<52} {self.value:>10,.2f}   {sign} {self.bar:<8,.2f} {'ok' if self.met else 'MISSED'}"


@dataclass(slots=True)
class Throughput:
    """`cpu_us`: microseconds of CPU a message, by process, until the read model has them all."""

    events_a_request: int
    messages: int
    seconds: float
    per_second: float
    accepted_per_second: float
    readable_per_second: float
    lost: int
    repeated: int
    refused_requests: int
    cpu_us: Mapping[str, float]
    ours_us: float
    engines_us: float

    def lines(self) -> list[str]:
        head = (
            f"{self.events_a_request} events a request: {self.per_second:,.0f} msg/s on the stream "
            f"({self.messages:,} in {self.seconds:.1f} s; accepted at {self.accepted_per_second:,.0f}/s, "
            f"in the read model at {self.readable_per_second:,.0f}/s), "
            f"lost {self.lost}, repeated {self.repeated}, requests refused {self.refused_requests}"
        )
        each = "  ".join(f"{name} {value:,.0f}" for name, value in self.cpu_us.items())
        return [head, f"  CPU us a message: services {self.ours_us:,.0f}, engines {self.engines_us:,.0f}   ({each})"]


@dataclass(slots=True)
class Report:
    throughput: list[Throughput] = field(default_factory=list)
    latencies: dict[str, Spread] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0

    def text(self) -> str:
        lines = [line for one in self.throughput for line in one.lines()]
        lines += ["", f"{'latency, ms':<54} {'n':>6} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8}"]
        for name, it in self.latencies.items():
            lines.append(f"  {name:<52} {it.samples:>6} {it.p50:>8.1f} {it.p99:>8.1f} {it.p999:>8.1f} {it.most:>8.1f}")
        if self.floors:
            lines += [
                "",
                "floors and routing, the same engines",
                *(f"  {k:<52} {v:>10,.2f}" for k, v in self.floors.items()),
            ]
        lines += ["", "bars", *(bar.line() for bar in self.bars), f"lost {self.lost}, repeated {self.repeated}"]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "throughput": [asdict(one) for one in self.throughput],
            "latencies_ms": {name: one._asdict() for name, one in self.latencies.items()},
            "floors": self.floors,
            "bars": [asdict(bar) | {"met": bar.met} for bar in self.bars],
            "lost": self.lost,
            "repeated": self.repeated,
        }
