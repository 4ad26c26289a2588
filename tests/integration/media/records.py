"""Records of `media.jobs`."""

import uuid

from shared.contracts.shape import Shape
from shared.contracts.wire import encode
from shared.runtime.batches import Batch
from shared.runtime.records import Record

CONVERSATION = str(uuid.uuid4())
MESSAGE = f"{CONVERSATION}-3"


def batch(*jobs: Shape) -> Batch:
    records = [
        Record(topic="media.jobs", partition=0, offset=at, key=b"k", value=encode(job), headers={}, timestamp_ms=0)
        for at, job in enumerate(jobs)
    ]
    return Batch(records, {})
