from tests.integration.gateway.installation import Installation
from tests.integration.limits import LIMITED, assert_limited


async def test_a_member_who_asks_too_often_is_told_when_to_ask_again(
    installation: Installation, workspace: str
) -> None:
    replica = await installation.gateway(**LIMITED)
    await assert_limited(await installation.member(replica.base, "grace", workspace), "/v1/conversations")
    await assert_limited(await installation.member(replica.base, "linus", workspace), "/v1/stream/ticket", "POST")
