"""Keys land where Kafka's own clients would put them."""

import pytest

from shared.runtime.producer import partition_for

# org.apache.kafka.common.utils.UtilsTest.testMurmur2
JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "murmur2"), JAVA.items())
@pytest.mark.parametrize("partitions", [1, 6, 12, 50])
def test_a_key_lands_where_the_java_client_puts_it(key: str, murmur2: int, partitions: int) -> None:
    assert partition_for(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions
