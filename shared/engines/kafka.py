"""A real Kafka, one node, broker and controller in one JVM; its jars come from Maven once per version of the pom."""

import base64
import fcntl
import hashlib
import shutil
import uuid
from pathlib import Path

from shared.engines.engine import Engine
from shared.engines.ports import LOOPBACK, accepts, require_free
from shared.engines.process import EngineError, run_tool, wait_until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "local" / "kafka"
POM = DEPLOY / "pom.xml"
NODE_ID = 1
# The first compiler alone: the second one needs more than it gives in the minutes that a local broker runs (measured on
# 2 cores: ready after 2.2 s instead of 3.6 s, and half the CPU for its first 60,000 records).
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
INSTALL_HINT = "install it or use ENGINES=docker"

# Durability is the page cache's, as on any Kafka: an acknowledged record outlives the process, not the machine.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": str(NODE_ID),
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "message.max.bytes": "2200000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # after a crash the controller waits this long before the same broker may register again
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.segment.bytes": "67108864",
    "log.index.size.max.bytes": "262144",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.segment.delete.delay.ms": "1000",
}


def install_jars(cache: Path) -> Path:
    """-> the folder with the jars that the pom names, fetched into `cache` the first time (8 s). Raises EngineError."""
    target = jars(cache)
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _fetch(target)
    return target


def jars(cache: Path) -> Path:
    """Where the jars of this version of the pom are, or will be."""
    return cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


def _fetch(target: Path) -> None:
    maven = _tool("mvn", "Maven")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}")
    done = run_tool([maven, "-q", "-B", "-f", str(POM), *goal])
    if done.returncode != 0:
        reason = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise EngineError(f"Maven could not fetch Kafka: {reason[:300]}")
    partial.rename(target)


def _tool(program: str, title: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise EngineError(f"{title} (`{program}`) is needed for a local Kafka and was not found: {INSTALL_HINT}")
    return found


class Kafka(Engine):
    """One broker on fixed ports; data and cluster id stay in `data` between starts."""

    def __init__(self, data: Path, logs: Path, port: int, controller_port: int, cache: Path) -> None:
        super().__init__("kafka", logs)
        self.data = data / "kafka"
        self.port = port
        self.controller_port = controller_port
        self._cache = cache

    @property
    def url(self) -> str:
        """`host:port`, what clients call bootstrap servers."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start the JVM, formatting the storage the first time; returns before it answers. Raises EngineError."""
        require_free(self.name, (self.port, self.controller_port))
        java = _tool("java", "Java 17 or newer")
        classpath = f"{install_jars(self._cache)}/*"
        config = self._write_config()
        command = [
            java,
            *JVM,
            *self.jvm_options(),
            f"-Dlog4j2.configurationFile={DEPLOY / 'log4j2.properties'}",
            "-cp",
            classpath,
        ]
        if not (self.data / "log" / "meta.properties").exists():
            tool = [*command, "kafka.tools.StorageTool", "format", "-t", self.cluster(), "-c", str(config)]
            self._format([*tool, *self.format_options()])
        self._child.command = [*command, "kafka.Kafka", str(config)]
        self._child.start()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until the broker is registered, unfenced and takes connections; raises EngineError."""
        wait_until(lambda: "Kafka Server started" in self._child.output() and accepts(self.port), self._child, seconds)

    def listener_settings(self) -> dict[str, str]:
        """Where it listens, and how clients get in."""
        return {
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
        }

    def jvm_options(self) -> list[str]:
        """More options of the virtual machine."""
        return []

    def cluster(self) -> str:
        """The id of the cluster whose member it becomes when it is formatted: a new one of its own."""
        return cluster_id()

    def format_options(self) -> list[str]:
        """More options of the first formatting."""
        return []

    def _write_config(self) -> Path:
        settings = {
            **SETTINGS,
            "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{self.controller_port}",
            "log.dirs": str(self.data / "log"),
            **self.listener_settings(),
        }
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "server.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return config

    def _format(self, command: list[str]) -> None:
        shutil.rmtree(self.data / "log", ignore_errors=True)  # left by a format that was cut off
        done = run_tool(command)
        if "UnsupportedClassVersionError" in done.stderr:
            raise EngineError(f"Java 17 or newer is needed for a local Kafka and `java` is older: {INSTALL_HINT}")
        if done.returncode != 0:
            raise EngineError(f"kafka: formatting the storage failed: {(done.stderr or done.stdout).strip()[-300:]}")


def cluster_id() -> str:
    """A random one; not with a dash in front, which the tool would take for an option."""
    while (ident := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return ident
