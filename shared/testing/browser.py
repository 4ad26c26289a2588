"""A real browser without a window, driven over the DevTools protocol: chromium, where the machine has one.

Specification: chromedevtools.github.io/devtools-protocol.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from shared.testing.eventually import PATIENCE_S, eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
)


def chromium() -> str | None:
    """Its path; None where the machine has none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class ScriptFailed(AssertionError):
    """JavaScript in the page threw; the text is its own."""


class Page:
    """One tab. `complaints` collects errors of the page's scripts and its console's errors and warnings."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []

    async def read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{said['params']['entry']['text']} {said['params']['entry'].get('url', '')}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params}))
        answer = await asyncio.wait_for(self._answers[number], 60)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression, or of the promise it answers. ScriptFailed where it throws."""
        options = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        answer = await self.call("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in answer:
            raise ScriptFailed(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, script: str, what: str, timeout: float = PATIENCE_S) -> None:
        """Poll an expression until it is true."""

        async def probe() -> bool:
            return bool(await self.run(f"Boolean({script})"))

        await eventually(probe, what, timeout, 0.05)

    async def type(self, selector: str, text: str) -> None:
        """As a person does: into the focused element."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """A named key such as Enter, or a letter."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Escape": 27}.get(key, ord(key[0].upper()))
        event = {"key": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def click(self, selector: str) -> None:
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def choose_files(self, selector: str, *paths: Path) -> None:
        """As a person does in the dialog of a file picker."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    async def looks(self, width: int, height: int, scheme: str = "light") -> None:
        """Size in CSS pixels; `scheme`: light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """A PNG of what is to be seen."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def page(*flags: str) -> AsyncIterator[Page]:
    """A new browser with one tab. The machine must have a browser. `flags`: of its command line, besides ours."""
    # a folder with a short path: the browser's socket in it may have no more than 107 characters
    with tempfile.TemporaryDirectory(prefix="tab-", ignore_cleanup_errors=True) as folder:
        async with (
            _browser(Path(folder), flags) as profile,
            aiohttp.ClientSession() as session,
            session.ws_connect(await _tab(session, profile), max_msg_size=0) as socket,
        ):
            tab = Page(socket)
            reading = asyncio.create_task(tab.read())
            for domain in ("Page", "Runtime", "Log"):
                await tab.call(f"{domain}.enable")
            await tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
            yield tab
            reading.cancel()


@asynccontextmanager
async def _browser(folder: Path, flags: Sequence[str]) -> AsyncIterator[Path]:
    """A browser's process; the path of its profile."""
    binary = chromium()
    assert binary is not None
    process = await asyncio.create_subprocess_exec(
        binary,
        *OPTIONS,
        *flags,
        f"--user-data-dir={folder / 'profile'}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},  # it leaves folders behind
    )
    try:
        yield folder / "profile"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _tab(session: aiohttp.ClientSession, profile: Path) -> str:
    """The DevTools address of the one tab."""
    port_file = profile / "DevToolsActivePort"
    port = await eventually(
        lambda: port_file.exists() and port_file.read_text().split("\n")[0], "the browser listens", 60
    )

    async def probe() -> str | None:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
        return tabs[0]["webSocketDebuggerUrl"] if tabs else None

    return await eventually(probe, "a tab", 60)
