"""What the object store and the accounts have of media."""

from services.media.core import Media
from shared.contracts.ids import object_key
from shared.runtime.s3 import ObjectMissing
from tests.integration.media.installation import Parts


async def exists(parts: Parts, key: str) -> bool:
    try:
        await parts.objects.head(key)
    except ObjectMissing:
        return False
    return True


async def used_bytes(parts: Parts, workspace: str) -> int:
    account = await parts.mongo.db.accounts.find_one({"_id": workspace})
    return int(account["used"]) if account else 0


def key_of(media: Media) -> str:
    return object_key(media.workspace, media.renditions[0].sha256)
