"""What happens to connections by the clock."""

from itertools import pairwise

from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.upkeep import Upkeep
from tests.unit.gateway.stream.replica import Client, Log, Replica

SETTINGS = StreamSettings(key=b"key", heartbeat_s=10.0, tick_s=0.5, linger_s=5.0, ahead_s=2.0)
HOUR = 3_600.0


class Kept(Client):
    """A client as `Upkeep` knows connections."""

    cuts = 0

    def cut_off(self) -> None:
        self.cuts += 1


class World:
    def __init__(self) -> None:
        self.log = Log()
        self.replica = Replica(self.log, SETTINGS)
        self.clock = self.replica.clock
        self.upkeep = Upkeep(self.replica.hub, self.replica.catch_up, SETTINGS, self.clock)

    def connect(self, cursor: str = "", lasts: float = HOUR) -> Kept:
        client = Kept("acme")
        client.connect(self.replica, cursor)
        self.upkeep.opened(client, self.clock.seconds + lasts)  # type: ignore[arg-type]  # `subscriber` may be None
        return client

    def pass_seconds(self, seconds: float) -> None:
        for _ in range(int(seconds / SETTINGS.tick_s)):
            self.clock.seconds += SETTINGS.tick_s
            self.upkeep.turn()


async def test_heartbeats_come_at_least_as_often_as_announced() -> None:
    world = World()
    client = world.connect()
    times = []
    for _ in range(200):
        before = len(client.of("heartbeat"))
        world.pass_seconds(SETTINGS.tick_s)
        client.take()
        times += [world.clock.seconds] * (len(client.of("heartbeat")) - before)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) >= 9
    assert max(gaps) <= SETTINGS.heartbeat_s
    assert min(gaps) >= SETTINGS.heartbeat_s - 2 * SETTINGS.tick_s


async def test_heartbeats_of_many_sockets_are_spread() -> None:
    world = World()
    clients = [world.connect() for _ in range(100)]
    most = 0
    for _ in range(40):
        before = sum(len(client.of("heartbeat")) for client in clients)
        world.pass_seconds(SETTINGS.tick_s)
        for client in clients:
            client.take()
        most = max(most, sum(len(client.of("heartbeat")) for client in clients) - before)
    assert most <= 10


async def test_a_heartbeat_carries_the_current_cursor() -> None:
    world = World()
    client = world.connect()
    for _ in range(3):
        world.log.publish("other", "c")
    world.replica.read()
    world.pass_seconds(SETTINGS.heartbeat_s + 1)
    client.take()
    assert world.replica.cursors.parse(client.cursor, "acme").offset == 2


async def test_a_heartbeat_amid_a_replay_names_what_has_been_sent() -> None:
    world = World()
    for _ in range(3):
        world.log.publish("acme", "c")
    world.replica.read(1)
    client = world.connect(world.replica.cursor(2))
    world.pass_seconds(1)
    client.take()
    assert client.frames == [], "not welcome yet"
    world.replica.read()
    client.take()
    assert [frame["type"] for frame in client.frames] == ["welcome"]


async def test_a_socket_is_closed_when_its_token_ends() -> None:
    world = World()
    short, long = world.connect(lasts=9.0), world.connect()
    world.pass_seconds(8.5)
    assert short.closed == []
    world.pass_seconds(1.5)
    assert short.closed == [4001]
    assert long.closed == []


async def test_a_reader_that_takes_nothing_for_a_heartbeat_is_closed() -> None:
    world = World()
    stuck, slow = world.connect(), world.connect()
    for _ in range(3):
        world.log.publish("acme", "c")
    world.replica.read()
    for _ in range(3):
        world.pass_seconds(SETTINGS.heartbeat_s)
        slow.take()
        world.log.publish("acme", "c")
        world.replica.read()
    assert stuck.closed == [4008]
    assert slow.closed == []


async def test_a_peer_that_does_not_answer_a_goodbye_is_cut_off() -> None:
    world = World()
    client = world.connect()
    world.upkeep.said_goodbye(client)  # type: ignore[arg-type]
    world.pass_seconds(SETTINGS.linger_s - 0.5)
    assert client.cuts == 0
    world.pass_seconds(1.5)
    assert client.cuts == 1


async def test_what_is_gone_leaves_nothing_behind() -> None:
    world = World()
    for _ in range(10):
        client = world.connect(lasts=24 * HOUR)
        world.upkeep.gone(client)  # type: ignore[arg-type]
        client.cut()
    world.pass_seconds(SETTINGS.heartbeat_s + 1)
    assert len(world.upkeep._wheel) == 0
    assert not world.upkeep._expiries
