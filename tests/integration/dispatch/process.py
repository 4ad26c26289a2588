"""Dispatch in a process of its own, to be killed."""

import asyncio
import os
import signal
import sys
from types import TracebackType

from pydantic import SecretStr

from tests.integration.dispatch.installation import Installation

CODE = "import sys; from relaydesk.services import serve; sys.exit(serve(['dispatch']))"


class Process:
    """`relaydesk serve dispatch` with these settings; `async with` kills it at the end, if it runs."""

    def __init__(self, installation: Installation, **changes: object) -> None:
        given = installation.settings(dispatch_http_port=0, dispatch_probe_port=0, **changes).model_dump()
        ours = {f"RELAYDESK_{name.upper()}": _text(value) for name, value in given.items() if value is not None}
        self._environment = {**os.environ, **ours}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Process":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def start(self) -> None:
        nowhere = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CODE, env=self._environment, stdout=nowhere, stderr=nowhere
        )

    @property
    def pid(self) -> int:
        assert self._process is not None, "it doesn't run"
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
