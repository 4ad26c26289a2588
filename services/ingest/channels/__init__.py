"""The channel kinds. A new one is a module here, one in dispatch, captured payloads and a row of
shared.contracts.capabilities."""

from collections.abc import Mapping

from services.ingest.channels import webhook
from services.ingest.channels.kind import Kind

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (webhook.KIND,)}
