"""What makes a bare mongod the replica set of a local installation. Services never use it."""

from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

NOT_YET_INITIALIZED = 94
Document = dict[str, Any]


def ensure_replica_set(port: int, name: str) -> None:
    """Make the mongod on this loopback port the one member of `name`, also when its data last lived on another port.

    Repeatable. Blocks for a few seconds at most; raises ConnectionError when mongod does not answer.
    """
    address = f"127.0.0.1:{port}"
    try:
        with _client(port) as client:
            _configure(client, name, address)
    except PyMongoError as error:
        raise ConnectionError(f"mongod on {address}: {error}") from error


def is_primary(port: int) -> bool:
    """Whether the mongod on this loopback port takes writes now; False while it does not answer."""
    try:
        with _client(port) as client:
            return bool(client.admin.command("hello").get("isWritablePrimary"))
    except PyMongoError:
        return False


def _client(port: int) -> MongoClient[Document]:
    return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=2000, socketTimeoutMS=10_000)


def _configure(client: MongoClient[Document], name: str, address: str) -> None:
    fresh = {"_id": name, "members": [{"_id": 0, "host": address}]}
    try:
        config: Document = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", fresh)
        return
    if config["members"][0]["host"] != address:
        moved = {**config, "members": fresh["members"], "version": config["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)
