"""All databases of an installation, looked through: for what must not be in any of them."""

from typing import Any

from pymongo import MongoClient

NOT_OURS = {"admin", "local", "config"}


def keepers_of(word: str, mongo: str) -> set[str]:
    """The services in whose databases the word is, wherever and in whatever form. `mongo`: the URL."""
    found: set[str] = set()
    with MongoClient[dict[str, Any]](mongo) as client:
        for name in set(client.list_database_names()) - NOT_OURS:
            for collection in client[name].list_collection_names():
                if any(word in repr(document) for document in client[name][collection].find()):
                    found.add(name.rpartition("_")[2])
    return found
