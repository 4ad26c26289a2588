"""An exception's class is an instruction to whoever runs the code: dead-letter, retry, rewind or die.

Anything else that is raised is a bug. This module must not know Kafka, MongoDB or HTTP.
"""

from shared.runtime.records import Record


class Fault(Exception):
    """What went wrong, said as what to do about it."""


class Poison(Fault):
    """This record can never be processed: dead-letter it and go on.

    `reason` is a stable code (it becomes a header and a metric label), `detail` is for people. `record` names the
    culprit inside a batch; without it the loop finds the culprit by trying the records one by one.
    """

    def __init__(self, reason: str, detail: str = "", record: Record | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.record = record


class Transient(Fault):
    """Something we need is away (Kafka, MongoDB, a send past its deadline): back off, try the same again; HTTP: 503."""


class Fenced(Fault):
    """Somebody else owns this (a failed compare-and-set, a rebalance): drop caches, read again from the committed."""


class Fatal(Fault):
    """Going on would lose or tear data: end the process."""
