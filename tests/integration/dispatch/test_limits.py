from relaydesk.tokens import Person, mint
from shared.runtime.listening import Listener
from shared.testing.api import Api
from tests.integration.dispatch.installation import Installation
from tests.integration.limits import LIMITED, assert_limited


async def test_a_member_who_asks_too_often_is_told_when_to_ask_again(installation: Installation) -> None:
    token = mint(installation.secrets.jwt_private, Person("grace", "Grace Hopper", "agent", "acme"))
    async with installation.onlooker(**LIMITED) as service:
        assert service.http is not None
        listener = Listener(service.http, "127.0.0.1", 0)
        async with Api(f"http://127.0.0.1:{await listener.open()}", token) as api:
            await assert_limited(api, "/v1/deliveries")
        await listener.close(1.0)
