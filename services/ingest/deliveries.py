"""What ingest asks of dispatch."""

from shared.runtime.service_client import ServiceClient


class DispatchDeliveries:
    """`services.ingest.registry.Deliveries`, by HTTP."""

    def __init__(self, dispatch: ServiceClient) -> None:
        self._dispatch = dispatch

    async def any_open(self, channel_id: str, token: str) -> bool:
        params = {"channel_id": channel_id, "state": "open", "limit": "1"}
        page = await self._dispatch.get("/v1/deliveries", token, params)
        return bool(page["items"])
