"""The client library's errors, said as instructions."""

import time

from aiokafka.errors import (
    CommitFailedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from shared.runtime.faults import Fatal, Fault, Fenced, Transient

PATIENCE_S = 30.0
"""How long errors that Kafka calls final go on before we believe them: a starting broker answers strange things."""


def fault_of(error: KafkaError) -> Fault:
    """What an error of a consumer asks for."""
    match error:
        case CommitFailedError() | IllegalStateError():
            return Fenced(f"the partitions are no longer ours: {error}")
        case OffsetOutOfRangeError():
            return Fatal(
                f"the position is outside of the topic, records were lost or the topic was made anew: {error.args}"
            )
        # aiokafka has already stepped over the record: going on would lose it
        case RecordTooLargeError() | CorruptRecordException() | UnsupportedCodecError():
            return Fatal(f"{type(error).__name__}: {error}")
        case _:
            return Transient(f"Kafka: {type(error).__name__}: {error}")


class FinalErrors:
    """Watches errors that are not the retriable kind; when nothing else comes for long enough they are Fatal."""

    def __init__(self) -> None:
        self._since: float | None = None

    def none(self) -> None:
        """It works."""
        self._since = None

    def judge(self, error: KafkaError) -> Fault:
        now = time.monotonic()
        if not error.retriable:
            self._since = self._since or now
        fault = fault_of(error)
        if isinstance(fault, Transient) and self._since is not None and now - self._since > PATIENCE_S:
            return Fatal(f"Kafka refuses: {type(error).__name__}: {error}")
        return fault
