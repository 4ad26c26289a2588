from tests.integration.limits import LIMITED, assert_limited
from tests.integration.snippets.installation import Installation


async def test_a_member_who_asks_too_often_is_told_when_to_ask_again(
    installation: Installation, workspace: str
) -> None:
    base = await installation.replica(**LIMITED)
    await assert_limited(await installation.member(base, "agent", workspace), "/v1/snippets")
