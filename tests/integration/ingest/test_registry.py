"""Channels over HTTP: who may, what is shown, what the others are told."""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from shared.contracts import wire
from shared.contracts.outbound import ChannelRecord
from shared.engines.addresses import Addresses
from shared.runtime.secrets import SecretBox
from shared.testing.api import Api, said
from shared.testing.eventually import eventually
from tests.integration.ingest.installation import Installation
from tests.integration.replicas import installed

URL = "http://127.0.0.1:1/in"
BOT = {"kind": "webhook", "settings": {"url": "http://127.0.0.1:2/bot"}}


async def made(owner: Api, **fields: Any) -> dict[str, Any]:
    channel: dict[str, Any] = await owner.ok("POST", "/v1/channels", {"kind": "webhook", "name": "Shop", **fields})
    return channel


async def told(installation: Installation, ident: str) -> list[ChannelRecord | None]:
    """What the topic says of the channel, in order; None for a tombstone."""
    records = [record for record in await installation.read("channels") if record.key == ident.encode()]
    return [wire.decode_channel(record.value) if record.value else None for record in records]


async def test_the_secret_is_shown_once_and_sealed_for_the_others(installation: Installation, owner: Api) -> None:
    channel = await made(owner, settings={"outbound_url": URL}, bot=BOT)
    assert channel["secret"].startswith("whsec_") and channel["bot"] == BOT
    read = await owner.ok("GET", f"/v1/channels/{channel['id']}")
    listed = (await owner.ok("GET", "/v1/channels"))["items"]
    assert {**read, "secret": channel["secret"]} == channel and listed == [read]
    [record] = await told(installation, channel["id"])
    assert record is not None and channel["secret"] not in wire.encode(record).decode()
    box = SecretBox(SecretStr(installation.secrets.secrets_key))
    assert box.open(record.secrets[0].sealed, channel["id"]).decode() == channel["secret"]
    stored = await installation.db["channels"].find_one({"_id": channel["id"]})
    assert stored is not None and channel["secret"] not in repr(stored) and stored["pending"] == []


async def test_agents_see_that_a_channel_exists_and_no_more(owner: Api, agent: Api) -> None:
    channel = await made(owner, settings={"outbound_url": URL})
    [item] = (await agent.ok("GET", "/v1/channels"))["items"]
    assert item.keys() == {"id", "kind", "name", "capabilities"}
    for method, path in (("POST", "/secret"), ("PATCH", ""), ("DELETE", ""), ("GET", "")):
        await agent.refused(method, f"/v1/channels/{channel['id']}{path}", 403, "FORBIDDEN", {})
    await agent.refused("POST", "/v1/channels", 403, "FORBIDDEN", {})


async def test_another_workspace_has_no_such_channel(installation: Installation, base: str, owner: Api) -> None:
    channel = await made(owner)
    stranger = await installation.member(base, "owner", "another")
    assert channel["id"] not in str(await stranger.ok("GET", "/v1/channels?limit=200"))
    for method, path, body in (("POST", "/secret", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None)):
        await stranger.refused(method, f"/v1/channels/{channel['id']}{path}", 404, "NOT_FOUND", body)
    await stranger.refused("GET", f"/v1/channels/{channel['id']}", 404, "NOT_FOUND")
    assert (await owner.ok("GET", f"/v1/channels/{channel['id']}"))["name"] == "Shop"


async def test_what_cannot_be_a_channel_is_refused(owner: Api) -> None:
    async def refused(status: int, code: str, **fields: Any) -> None:
        await owner.refused("POST", "/v1/channels", status, code, {"kind": "webhook", "name": "x", **fields})

    await refused(422, "UNKNOWN_KIND", kind="pigeon")
    await refused(422, "URL_NOT_ALLOWED", settings={"outbound_url": "ftp://example.org"})
    await refused(422, "INVALID", name="")
    await refused(422, "INVALID", bot={"kind": "webhook"})
    await refused(422, "INVALID", settings={"deep": {"er": 1}})
    assert (await owner.ok("GET", "/v1/channels"))["items"] == []


async def test_changes_made_at_once_all_count_and_are_told_in_order(installation: Installation, owner: Api) -> None:
    channel = await made(owner)
    path = f"/v1/channels/{channel['id']}"
    changes = [{"settings": {f"s{number}": number}} for number in range(4)]
    await asyncio.gather(*(owner.ok("PATCH", path, change) for change in changes))
    assert (await owner.ok("GET", path))["settings"] == {"s0": 0, "s1": 1, "s2": 2, "s3": 3}
    records = [record for record in await told(installation, channel["id"]) if record is not None]
    assert [record.version for record in records] == [1, 2, 3, 4, 5]


async def test_a_rotated_secret_and_the_new_one_both_open_every_replica(
    installation: Installation, base: str, owner: Api
) -> None:
    channel, other = await made(owner), await installation.replica()
    old_here, old_there = [await installation.adapter(at, channel["id"], channel["secret"]) for at in (base, other)]
    assert (await old_there.post([said("ada", "hi")])).status == 202
    rotated = await owner.ok("POST", f"/v1/channels/{channel['id']}/secret")
    assert rotated["secret"] != channel["secret"]
    new_here, new_there = [await installation.adapter(at, channel["id"], rotated["secret"]) for at in (base, other)]
    assert [(await one.post([said("ada", "hi")])).status for one in (old_here, new_here)] == [202, 202]

    async def open_there() -> bool:
        return (await new_there.post([said("ada", "hi")])).status == 202

    await eventually(open_there, "the new secret counts on the other replica")
    assert (await old_there.post([said("ada", "hi")])).status == 202
    record = (await told(installation, channel["id"]))[-1]
    assert record is not None
    assert [secret.valid_until is None for secret in record.secrets] == [True, False]


async def test_a_channel_with_deliveries_under_way_stays(installation: Installation, owner: Api, base: str) -> None:
    channel, neighbours = await made(owner), installation.neighbours
    path = f"/v1/channels/{channel['id']}"
    neighbours.open.add(channel["id"])
    await owner.refused("DELETE", path, 409, "DELIVERIES_OPEN")
    neighbours.away = True
    await owner.refused("DELETE", path, 503, "UNAVAILABLE")
    neighbours.away = False
    adapter = await installation.adapter(base, channel["id"], channel["secret"])
    assert (await adapter.post([said("ada", "hi")])).status == 202
    assert neighbours.asked_by[-1].startswith("Bearer ")


async def test_a_deleted_channel_is_gone_for_everybody(installation: Installation, owner: Api, base: str) -> None:
    channel = await made(owner, settings={"outbound_url": URL})
    path = f"/v1/channels/{channel['id']}"
    adapter = await installation.adapter(base, channel["id"], channel["secret"])
    assert (await adapter.post([said("ada", "hi")])).status == 202
    assert (await owner.call("DELETE", path)).status == 204
    assert (await adapter.post([said("ada", "hi")])).status == 404
    await owner.refused("GET", path, 404, "NOT_FOUND")
    await owner.refused("DELETE", path, 404, "NOT_FOUND")
    first, last, tombstone = await told(installation, channel["id"])
    assert first is not None and last is not None and tombstone is None
    assert (last.deleted, last.version, last.secrets, last.settings) == (True, 2, (), {})


async def test_every_change_is_in_the_audit_and_no_value_is(
    installation: Installation, owner: Api, workspace: str
) -> None:
    channel = await made(owner, settings={"outbound_url": URL})
    path = f"/v1/channels/{channel['id']}"
    await owner.ok("PATCH", path, {"name": "Store", "settings": {"outbound_url": None}})
    await owner.ok("PATCH", path, {"name": "Store"})
    await owner.ok("POST", f"{path}/secret")
    await owner.call("DELETE", path)
    entries = await installation.db["audit"].find({"workspace": workspace}).sort("at").to_list(None)
    assert [(entry["action"], entry["fields"]) for entry in entries] == [
        ("channel.created", ["kind", "name", "secrets", "settings.outbound_url"]),
        ("channel.changed", ["name", "settings.outbound_url"]),
        ("channel.secret_rotated", ["secrets"]),
        ("channel.deleted", ["secrets"]),
    ]
    assert {(entry["member_id"], entry["role"], entry["subject"]) for entry in entries} == {
        ("owner-1", "owner", channel["id"])
    }
    assert URL not in repr(entries) and "whsec_" not in repr(entries)


async def test_pages_of_channels_hold_each_once(owner: Api) -> None:
    idents = {(await made(owner, name=f"c{number}"))["id"] for number in range(5)}
    found: list[str] = []
    after = ""
    while True:
        page = await owner.ok("GET", f"/v1/channels?limit=2{after}")
        assert len(page["items"]) <= 2
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(found) == 5 and set(found) == idents
    await owner.refused("GET", "/v1/channels?after=nonsense", 400, "BAD_CURSOR")
    await owner.refused("GET", "/v1/channels?limit=201", 422, "INVALID")


async def test_a_change_of_the_key_seals_anew_and_every_secret_stays(engines: Addresses, tmp_path: Path) -> None:
    """In two steps, as docs/operations.md says; two replicas come at once, and each secret is sealed anew once."""
    async with installed(Installation, engines, tmp_path) as installation:
        old, new = installation.secrets.secrets_key, base64.b64encode(os.urandom(32)).decode()
        owner = await installation.member(await installation.replica(), "owner", "acme")
        channel = await made(owner)
        rotated = await owner.ok("POST", f"/v1/channels/{channel['id']}/secret")
        installation.settings_of_keys = {"secrets_key": old, "secrets_key_previous": new}
        await installation.replica()
        installation.settings_of_keys = {"secrets_key": new, "secrets_key_previous": old}
        second, _ = await asyncio.gather(installation.replica(), installation.replica())
        after = SecretBox(SecretStr(new))

        async def sealed_anew() -> list[str] | None:
            record = (await told(installation, channel["id"]))[-1]
            assert record is not None
            sealed = [secret.sealed for secret in record.secrets]
            return sealed if all(text.startswith(f"{after.current}.") for text in sealed) else None

        sealed = await eventually(sealed_anew, "the secrets are sealed with the new key, and told")
        opened = [after.open(text, channel["id"]).decode() for text in sealed]
        assert opened == [rotated["secret"], channel["secret"]]
        versions = [record.version for record in await told(installation, channel["id"]) if record is not None]
        assert versions == [1, 2, 3], "each change is told once"
        adapter = await installation.adapter(second, channel["id"], channel["secret"])
        assert (await adapter.post([said("ada", "Hello?")])).status == 202
        assert await installation.db["audit"].count_documents({"action": "channel.resealed"}) == 1
