from collections.abc import AsyncIterator

import pytest_asyncio

from shared.engines.addresses import Addresses
from tests.integration.routing.installation import Installation, Place


@pytest_asyncio.fixture
async def installation(engines: Addresses, topic_prefix: str, mongo_prefix: str) -> AsyncIterator[Installation]:
    installed = Installation(Place(engines, topic_prefix, mongo_prefix))
    await installed.start()
    yield installed
    await installed.stop()
