import shutil
import socket
from pathlib import Path

import pytest

from bench.stream.figures import each, median, per_cpu_second, us_per_socket_second
from bench.stream.floor import Floor, compiled
from bench.stream.storm import MISSED, is_whole


def test_deliveries_are_counted_against_cpu_not_time() -> None:
    assert per_cpu_second(1_000, 0.5) == 2_000


def test_one_odd_round_does_not_move_the_median() -> None:
    assert median([1.0, 100.0, 2.0]) == 2.0


def test_a_socket_takes_its_share_of_what_was_added() -> None:
    assert each(1_000, 21_000, 10) == 2_000


def test_a_socket_second_is_one_socket_for_one_second() -> None:
    assert us_per_socket_second(0.5, 10_000, 25.0) == pytest.approx(2.0)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_floor_writes_the_frame_once_to_every_socket_for_each_event(tmp_path: Path) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    program = compiled(tmp_path)
    assert program is not None

    with Floor(program, [ours.fileno() for ours, _ in pairs], b"frame") as floor:
        spent = [floor.send(), floor.send()]

    assert all(one > 0 for one in spent)
    assert [theirs.recv(100) for _, theirs in pairs] == [b"frameframe"] * 3
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_storm_counts_only_who_got_every_event_once_and_in_order() -> None:
    welcome = b'{"type":"welcome","cursor":"c","recovered":true}'
    numbers = [b'"number":%d}' % number for number in range(MISSED + 1)]
    assert is_whole(welcome + b"".join(numbers))
    assert not is_whole(b"".join(numbers))
    assert not is_whole(welcome + b"".join(numbers[:-1]))
    assert not is_whole(welcome + b"".join([*numbers, numbers[-1]]))
    assert not is_whole(welcome + b"".join([*numbers[:-1], numbers[0], numbers[-1]]))
    assert not is_whole(welcome + b"".join([numbers[1], numbers[0], *numbers[2:]]))
