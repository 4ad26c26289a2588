"""`python -m relaydesk_stream API TOKEN [CURSOR]`: prints each event as a line of JSON."""

import argparse
import asyncio
import contextlib
import json
import sys

from relaydesk_stream import Handlers, SnapshotRequired, StateChange, StreamEnded, Tickets, stream


async def follow(api: str, token: str, cursor: str) -> None:
    """Until the stream ends. What is beside events goes to standard error."""
    handlers = Handlers(on_snapshot_required=_gap, on_state=_told)
    async with stream(Tickets(api, token), cursor, handlers) as events:
        async for event in events:
            print(json.dumps(event.content, ensure_ascii=False), flush=True)


async def _gap(gap: SnapshotRequired) -> None:
    print(f"snapshot required: {gap.reason}", file=sys.stderr)


def _told(change: StateChange) -> None:
    why = change.error or (f"closed with {change.code}" if change.code else "")
    print(f"{change.state} {why}".rstrip(), file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m relaydesk_stream", description=__doc__)
    parser.add_argument("api", help="the API's origin, such as http://127.0.0.1:8700")
    parser.add_argument("token", help="a member's token")
    parser.add_argument("cursor", nargs="?", default="", help="everything after it; without one, from now on")
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(follow(asked.api, asked.token, asked.cursor))
        except StreamEnded as end:
            print(f"{type(end).__name__}: {end}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
