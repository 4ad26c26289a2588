"""The production topology without Docker: processes out of the image's folder, with the environment of its chart.

What a node, a Service and a Deployment do is stood for: addresses are loopback ports, a `Balancer` sends connections to
pods that are ready and not going, and `Deployment.roll` replaces pods as `maxSurge: 1, maxUnavailable: 0` does.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relaydesk.readiness import answers
from relaydesk.services import SERVICES
from shared.engines.ports import LOOPBACK, free_ports
from shared.testing.eventually import eventually
from tests.deploy.chart import Object, component, environment, of_kind

Environment = Mapping[str, str]
KNOWN_AFTER_S = 1.0
"""So long a Service may go on sending connections to a pod that is going."""
READY_WITHIN_S = 180.0


class Balancer:
    """A Service: each new connection goes to the next pod."""

    def __init__(self) -> None:
        self._pods: list[int] = []
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._open:
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def add(self, port: int) -> None:
        self._pods.append(port)

    def remove(self, port: int) -> None:
        """Connections that are open stay."""
        self._pods.remove(port)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._splice(reader, writer))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)

    async def _splice(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._pods[next(self._turns) % len(self._pods)]
        ends = [writer]
        try:
            there, back = await asyncio.open_connection(LOOPBACK, port)
            ends.append(back)
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except OSError:
            pass  # the pod is gone, or the client
        finally:
            for end in ends:
                end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@dataclass
class Pod:
    """One process of a service, under a name of its own."""

    name: str
    ports: Mapping[str, int]
    process: asyncio.subprocess.Process

    async def ready(self) -> bool:
        """Asked beside the loop: a pod that is slow to answer must not hold up whoever measures."""
        assert self.process.returncode is None, f"{self.name} ended with {self.process.returncode}"
        return await asyncio.to_thread(answers, self.ports["probe"], "/readyz")


@dataclass
class Deployment:
    """The pods of a service. `deployment`, `objects`: as rendered; `cluster`: what only a cluster knows."""

    deployment: Object
    objects: tuple[Object, ...]
    cluster: "Cluster"
    pods: list[Pod] = field(default_factory=list)

    @property
    def service(self) -> str:
        return component(self.deployment)

    async def scale(self) -> None:
        """As many pods as it says, all ready."""
        wanted = self.deployment["spec"].get("replicas", 2)
        await asyncio.gather(*(self.add(self._new_name()) for _ in range(wanted)))

    async def roll(self) -> None:
        """New pods, one after the other; each old one goes when its successor is ready."""
        for old in list(self.pods):
            await self.add(self._new_name())
            await self.end(old)

    async def roll_in_place(self) -> None:
        """As a StatefulSet does: each goes first and comes back under its name."""
        for old in list(reversed(self.pods)):
            await self.end(old)
            await self.add(old.name)

    async def add(self, name: str) -> None:
        pod = await self._start(name)
        self.pods.append(pod)
        await eventually(pod.ready, f"{name} is ready", timeout=READY_WITHIN_S, every=0.1)
        for port, balancer in self.cluster.balancers[self.service].items():
            balancer.add(pod.ports[port])

    async def end(self, pod: Pod) -> None:
        """preStop, SIGTERM, and no more than the grace period."""
        spec = self.deployment["spec"]["template"]["spec"]
        [container] = spec["containers"]
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        await asyncio.sleep(KNOWN_AFTER_S)
        for port, balancer in self.cluster.balancers[self.service].items():
            balancer.remove(pod.ports[port])
        await asyncio.sleep(max(0.0, before - KNOWN_AFTER_S))
        pod.process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(pod.process.wait(), spec["terminationGracePeriodSeconds"] - before)
        assert status == 0, f"{pod.name} was told to stop and ended with {status}"
        self.pods.remove(pod)

    def _new_name(self) -> str:
        return f"{self.deployment['metadata']['name']}-{uuid.uuid4().hex[:9]}-{uuid.uuid4().hex[:5]}"

    async def _start(self, name: str) -> Pod:
        template = self.deployment["spec"]["template"]
        [container] = template["spec"]["containers"]
        names = [port["name"] for port in container["ports"]]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        found = self.cluster.environment(self.objects, template)
        found |= {f"RELAYDESK_{self.service.upper()}_{port.upper()}_PORT": str(ports[port]) for port in ports}
        found |= {"RELAYDESK_INSTANCE": name}
        with (self.cluster.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                self.cluster.program,
                *container["args"],
                cwd="/",
                env=found,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return Pod(name, ports, process)


@dataclass
class Cluster:
    """Where everything is: engines' addresses and files instead of the chart's, a Service for each service."""

    installed: Path
    folder: Path
    secrets: Mapping[str, str]
    engines: Environment
    balancers: dict[str, dict[str, Balancer]] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)

    async def install(self, objects: tuple[Object, ...]) -> None:
        """All services at once, as a release is installed; returns when every pod is ready."""
        for deployment in of_kind(objects, "Deployment").values():
            service = component(deployment)
            named = ("http", "stream") if service == "gateway" else ("http",)
            self.balancers[service] = {port: Balancer() for port in named}
            self.deployments[service] = Deployment(deployment, objects, self)
        for balancer in self._all_balancers():
            await balancer.start()
        await asyncio.gather(*(deployment.scale() for deployment in self.deployments.values()))

    def url(self, service: str, scheme: str = "http", port: str = "http", path: str = "") -> str:
        return f"{scheme}://{LOOPBACK}:{self.balancers[service][port].port}{path}"

    @property
    def program(self) -> str:
        return str(self.installed / "venv" / "bin" / "relaydesk")

    async def execute(self, objects: tuple[Object, ...], template: Object, *words: str) -> tuple[int | None, str]:
        """As `kubectl exec` in a pod of this template: the command's exit status, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *words,
            cwd="/",
            env=self.environment(objects, template),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), 120)
        return process.returncode, printed.decode()

    def environment(self, objects: tuple[Object, ...], template: Object) -> dict[str, str]:
        """A container's, with the addresses of this machine."""
        found = environment(objects, template, self.secrets)
        return found | self._addresses(found) | {"PATH": os.environ["PATH"], "TMPDIR": str(self.folder)}

    def _addresses(self, found: Environment) -> dict[str, str]:
        """Instead of the addresses in a pod's environment: those of this machine, and no others."""
        own = {f"RELAYDESK_{name.upper()}_URL": self.url(name) for name in SERVICES}
        own |= {"RELAYDESK_GATEWAY_STREAM_URL": self.url("gateway", "ws", "stream", "/v1/stream")}
        own |= {"RELAYDESK_HOST": LOOPBACK, **self.engines}
        return {name: value for name, value in own.items() if name in found}

    async def stop(self) -> None:
        """Scaled to 0."""
        pods = [(deployment, pod) for deployment in self.deployments.values() for pod in deployment.pods]
        await asyncio.gather(*(deployment.end(pod) for deployment, pod in pods))

    async def close(self) -> None:
        for deployment in self.deployments.values():
            for pod in deployment.pods:
                if pod.process.returncode is None:
                    pod.process.kill()
                await pod.process.wait()
        for balancer in self._all_balancers():
            await balancer.stop()

    def _all_balancers(self) -> list[Balancer]:
        return [balancer for of in self.balancers.values() for balancer in of.values()]
