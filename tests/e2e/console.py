"""The agents' page as tests use it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.testing.browser import Page, page
from shared.testing.system import System


def of_the_network(complaint: str) -> bool:
    """A refused request or a cut connection: the browser logs it, and rightly so."""
    return any(words in complaint for words in ("Failed to load resource", "WebSocket connection to"))


TOASTS = """
window.toasted = [];
new MutationObserver((changes) => {
  for (const node of changes.flatMap((change) => [...change.addedNodes])) {
    if (node.classList?.contains("toast")) window.toasted.push(node.textContent);
  }
}).observe(document, { childList: true, subtree: true });
"""
"""They go by themselves: a page that remembers which there were."""


@asynccontextmanager
async def signed_in(system: System, *flags: str, who: str = "agent") -> AsyncIterator[Page]:
    """Ada, the agent, unless somebody else is named; the page complains of nothing."""
    async with page(*flags) as tab:
        await tab.looks(1400, 860)
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=TOASTS)
        await tab.open(f"{system.info['console']}#token={system.info['tokens'][who]}")
        await tab.until("document.querySelector('.is-live')", "live")
        yield tab
        assert [said for said in tab.complaints if not of_the_network(said)] == []


async def opened(console: Page, conversation: str) -> None:
    await console.run(f"location.hash = '#/{conversation}'")
    await console.until("document.querySelectorAll('#thread .line').length > 0", "the thread is shown")


async def write(console: Page, text: str) -> None:
    await console.type("#text", text)
    await console.press("Enter")


async def shows(console: Page, selector: str, text: str) -> None:
    found = f"[...document.querySelectorAll({json.dumps(selector)})]"
    await console.until(f"{found}.some((one) => one.textContent.includes({json.dumps(text)}))", f"{selector}: {text!r}")


async def told(console: Page, text: str) -> None:
    """By a toast, which may be gone again."""
    await console.until(f"window.toasted.some((one) => one.includes({json.dumps(text)}))", f"told: {text!r}")
