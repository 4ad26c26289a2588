"""The subscribers of one workspace. Writes are synchronous: no await, task or timer per subscriber."""

from collections.abc import Callable, Sequence

from services.gateway.stream.entry import Entry, visible
from services.gateway.stream.subscriber import Passing, Stage, Subscriber
from shared.runtime.tracing import Span


class Room:
    def __init__(self, workspace: str, partition: int, at_once: int) -> None:
        """`at_once`: bytes that a live subscriber is written in one go. `held`: entries that are not delivered before
        `free_at` (monotonic seconds), because the last ones took the room long to write. `traced`: spans of entries
        that are not delivered yet; with a room that everybody left they are gone."""
        self.workspace = workspace
        self.partition = partition
        self._at_once = at_once
        self.subscribers: set[Subscriber] = set()
        self.held: list[Entry] = []
        self.free_at = 0.0
        self.traced: list[tuple[Entry, Span]] = []
        self._live: dict[Subscriber, Callable[[bytes], None]] = {}

    def enter(self, subscriber: Subscriber) -> None:
        self.subscribers.add(subscriber)

    def go_live(self, subscriber: Subscriber) -> None:
        subscriber.stage, subscriber.late = Stage.LIVE, False
        self._live[subscriber] = subscriber.write
        subscriber.give_kept()

    def leave(self, subscriber: Subscriber) -> None:
        subscriber.stage = Stage.CLOSED
        self.subscribers.discard(subscriber)
        self._live.pop(subscriber, None)

    def tell(self, passing: Passing) -> list[Subscriber]:
        """To everybody, now or as soon as they can take it: answers those for whom it is kept."""
        return [subscriber for subscriber in self.subscribers if not subscriber.give(passing)]

    def members(self, member_id: str) -> list[Subscriber]:
        return [subscriber for subscriber in self.subscribers if subscriber.member_id == member_id]

    def deliver(self, entries: Sequence[Entry]) -> list[Subscriber]:
        """One write to every live subscriber: all entries of a batch that it may see. Of a batch too large for that
        nothing is written: answers those who were live, and catch up from before the batch at their own pace."""
        if sum([len(entry.frame) for entry in entries]) > self._at_once:
            return self._set_back(entries[0].offset - 1)
        public = b"".join([entry.frame for entry in entries if entry.audience is None])
        tags = {entry.audience for entry in entries if entry.audience is not None}
        if tags:
            self._deliver_to_some(entries, tags, public)
        elif public:
            for write in self._live.values():
                write(public)
        return []

    def end_traces(self) -> None:
        """After a delivery: it was of all entries, so of all that are traced."""
        for entry, span in self.traced:
            span.note({"relaydesk.sockets": self._reached(entry)})
            span.end()
        self.traced = []

    def _reached(self, entry: Entry) -> int:
        """Live subscribers that see it; those who were set back get it later."""
        if entry.audience is None:
            return len(self._live)
        return sum(subscriber.tag == entry.audience for subscriber in self._live)

    def _set_back(self, position: int) -> list[Subscriber]:
        late = list(self._live)
        self._live.clear()
        for subscriber in late:
            subscriber.stage, subscriber.position, subscriber.late = Stage.CATCHING_UP, position, True
        return late

    def _deliver_to_some(self, entries: Sequence[Entry], tags: set[str], public: bytes) -> None:
        own = {tag: visible(entries, tag) for tag in tags}
        for subscriber, write in self._live.items():
            data = own.get(subscriber.tag, public)
            if data:
                write(data)
