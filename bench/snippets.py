"""What snippets cost: renderings a second, and milliseconds of a search among 5,000. `python -m bench.snippets`

Without engines. `--info FILE`, as `relaydesk run --split --info FILE` wrote it: also the search over HTTP, on that
installation's demo workspace, which is filled to 5,000 by an import first. There the database is asked, too.
"""

import argparse
import http.client
import json
import time
import urllib.request
import uuid
from typing import Any

from bench.pipeline.latency import spread
from bench.pipeline.report import Bar
from services.snippets.core import Template
from services.snippets.search import shelf_of
from services.snippets.shelf import MOST, Snippet, drafted

RENDERS = 200_000
SEARCHES = 200
PATIENCE_S = 60.0
TOLD = 'relaydesk_outbox_published_total{collection="snippets"}'

VALUES = {"contact.name": "Ada Lovelace", "contact.email": "ada@example.org"}
MESSAGE = (("x" * 110 + " $contact.name ") * 2 + ("y" * 110 + " $contact.email ") * 2)[:-1]


def renders_per_second() -> float:
    template, begun = Template(MESSAGE), time.process_time()
    for _ in range(RENDERS):
        template.render(VALUES, "block")
    return RENDERS / (time.process_time() - begun)


def search_p99_ms(message: str, query: str) -> float:
    drafts = [drafted(f"answer {uuid.uuid4().hex}", message, None, "block") for _ in range(MOST)]
    shelf = shelf_of(1, [Snippet("acme", str(uuid.uuid4()), draft, 1, 0, "") for draft in drafts])
    seconds = []
    for _ in range(SEARCHES):
        begun = time.perf_counter()
        shelf.page(query, None, 20, "")
        seconds.append(time.perf_counter() - begun)
    found = spread(seconds)
    assert found is not None
    return found.p99


class Service:
    """The snippets service of a running installation, over one connection."""

    def __init__(self, info: str) -> None:
        with open(info) as file:
            found = json.load(file)
        service = found["services"]["snippets"]
        host, port = service["http"].removeprefix("http://").split(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=120)
        self._metrics = service["probe"] + "/metrics"
        self._token = found["tokens"]["manager"]

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "text/csv"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{method} {path} -> {answer.status} {content}")
        return content

    def told(self) -> float:
        """Events of snippets that went out."""
        with urllib.request.urlopen(self._metrics) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(TOLD))

    def fill(self, message: str) -> None:
        """To the last one; what a search costs meanwhile is printed."""
        left = MOST - self.call("GET", "/v1/snippets?limit=1")["total"]
        rows = "".join(f"answer {uuid.uuid4().hex},{message},,\n" for _ in range(left))
        if not left:
            return
        wanted = self.told() + left
        self.call("POST", "/v1/snippets/import?dry_run=false", f"name,message,theme,missing\n{rows}".encode())
        print(f"  search by name, while {left:,} events go out: p99 {self.p99_ms('answer%20a'):.1f} ms")
        deadline = time.monotonic() + PATIENCE_S
        while self.told() < wanted:
            if time.monotonic() > deadline:
                raise SystemExit("the import's events did not go out")
            time.sleep(0.2)
        self._connection.close()  # the server may have done so meanwhile; the next call opens it anew

    def p99_ms(self, query: str) -> float:
        seconds = []
        for _ in range(SEARCHES):
            begun = time.perf_counter()
            self.call("GET", f"/v1/snippets?q={query}&limit=20")
            seconds.append(time.perf_counter() - begun)
        found = spread(seconds)
        assert found is not None
        return found.p99


def over_http(info: str, message: str) -> list[Bar]:
    service = Service(info)
    service.fill(message)
    queries = {"by name": "answer%20a", "in all messages": "send%20back", "found nowhere": "zebra"}
    return [
        Bar(f"search over HTTP, {what}: p99 ms", service.p99_ms(query), 15, at_most=True)
        for what, query in queries.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--info", help="of a running installation: measure the search over HTTP, too")
    info = parser.parse_args().info
    text = "how to send it back " * 20
    bars = [
        Bar("renderings a second, 500 characters, 4 variables", renders_per_second(), 200_000),
        Bar("search among 5,000 by name: p99 ms", search_p99_ms(text, "answer a"), 15, at_most=True),
        Bar("search among 5,000, in all messages: p99 ms", search_p99_ms(text, "send back"), 15, at_most=True),
        Bar("search among 5,000, found nowhere: p99 ms", search_p99_ms(text, "zebra"), 15, at_most=True),
    ]
    for bar in bars + (over_http(info, text) if info else []):
        print(bar.line())


if __name__ == "__main__":
    main()
