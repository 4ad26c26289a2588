"""A setting that aiokafka has and does not offer (0.14, consumer/fetcher.py): what is fetched while records wait.

Left alone, it waits 0.1 s for fetched records to be taken. Then it fetches the other partitions without theirs, the
broker holds that request for `fetch_max_wait_ms` because nothing happens there, and only one request at a time is sent:
so after a batch of more than 0.1 s, new records of the busy partition waited up to half a second.
"""

from aiokafka import AIOKafkaConsumer

LONGER_THAN_ANY_BATCH_S = 3600.0


def one_round_ahead(consumer: AIOKafkaConsumer) -> None:
    """Fetch nothing more of a broker while records of it wait. For a started consumer whose reader takes records of
    all its partitions: one that leaves some waiting would get nothing of the others either."""
    consumer._fetcher._prefetch_backoff = LONGER_THAN_ANY_BATCH_S
