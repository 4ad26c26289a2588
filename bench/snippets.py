"""What snippets cost: renderings a second, and milliseconds of a search among 5,000. `python -m bench.snippets`

Without engines: a search over HTTP also asks the database for its revision and for the page's documents.
"""

import time
import uuid

from bench.pipeline.latency import spread
from bench.pipeline.report import Bar
from services.snippets.core import Template
from services.snippets.search import shelf_of
from services.snippets.shelf import MOST, Snippet, drafted

RENDERS = 200_000
SEARCHES = 100
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


def main() -> None:
    text = "how to send it back " * 20
    for bar in (
        Bar("renderings a second, 500 characters, 4 variables", renders_per_second(), 200_000),
        Bar("search among 5,000 by name: p99 ms", search_p99_ms(text, "answer a"), 15, at_most=True),
        Bar("search among 5,000, in all messages: p99 ms", search_p99_ms(text, "send back"), 15, at_most=True),
        Bar("search among 5,000, found nowhere: p99 ms", search_p99_ms(text, "zebra"), 15, at_most=True),
    ):
        print(bar.line())


if __name__ == "__main__":
    main()
