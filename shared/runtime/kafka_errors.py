"""The client library's errors, said as instructions."""

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

PATIENCE = 5
"""Final errors in a row before we believe them: a broker that shuts down or starts up answers strange things."""


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
    """Counts errors that are not the retriable kind; enough of them in a row are Fatal."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def none(self) -> None:
        self._in_a_row = 0

    def judge(self, error: KafkaError) -> Fault:
        if not error.retriable:
            self._in_a_row += 1
        fault = fault_of(error)
        if isinstance(fault, Transient) and self._in_a_row >= PATIENCE:
            return Fatal(f"Kafka refuses: {type(error).__name__}: {error}")
        return fault
