"""The documents used last, as they are in the database but for entries known to be acknowledged. Knows no database."""

from collections import OrderedDict
from collections.abc import Iterable

from services.routing.documents import Document


class Cache:
    """Least recently used goes first. It may be wrong (another owner): a compare-and-set finds out."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def find(self, keys: Iterable[str]) -> dict[str, Document]:
        found = {key: self._documents[key] for key in keys if key in self._documents}
        for key in found:
            self._documents.move_to_end(key)
        return found

    def put(self, documents: Iterable[Document]) -> None:
        for document in documents:
            self._documents[document.key] = document
            self._documents.move_to_end(document.key)
        while len(self._documents) > self._capacity:
            self._documents.popitem(last=False)

    def drop(self, documents: Iterable[Document]) -> None:
        for document in documents:
            self._documents.pop(document.key, None)

    def clear(self) -> None:
        self._documents.clear()
