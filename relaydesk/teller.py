"""How far a command is, on its standard output."""

import time

from shared.runtime.progress import Progress
from shared.runtime.tasks import check_cancelled

SAID_EVERY_S = 1.0


class Teller:
    """Says how far it is, a line a second at most, and each phase's end."""

    def __init__(self, what: str) -> None:
        """`what` is counted: events, records …"""
        self._what = what
        self._phase = ""
        self._begun = (0.0, 0)
        self._said = 0.0

    def __call__(self, progress: Progress) -> None:
        check_cancelled()
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._begun, self._said = progress.phase, (now, progress.done), 0.0
        if progress.done < progress.total and now - self._said < SAID_EVERY_S:
            return
        self._said = now
        since, before = self._begun
        pace = (progress.done - before) / max(now - since, 0.001)
        left = f", about {(progress.total - progress.done) / pace:.0f} s left" if pace > 0 else ""
        where = "of about" if self._phase == "archive" else "of"
        print(f"{self._phase}: {progress.done} {where} {progress.total} {self._what}{left}", flush=True)
