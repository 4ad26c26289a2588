"""Snippets of a workspace as rules: what may be saved, and what is told of it. Pure.

Must not know documents, HTTP or the clock.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid5

from services.snippets.core import Fallback, Missing, Template
from shared.contracts import resources
from shared.contracts.events import TYPE_OF, CloudEvent, SnippetRemoved, SnippetSaved
from shared.contracts.ids import canonical
from shared.runtime.folding import folded

MOST = 5_000
"""Snippets of a workspace."""
NO_ROOM = f"A workspace has at most {MOST:,} snippets."

_CHANGES = uuid5(UUID(int=0), "relaydesk.snippets")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a member wrote; its variables are known ones."""

    name: str
    message: str
    theme: str | None
    missing: Missing
    variables: tuple[str, ...]

    @property
    def name_key(self) -> str:
        """Equal for names that are the same but for case, accents, width and spaces: a workspace has one of them."""
        return " ".join(folded(self.name).split())


def drafted(name: str, message: str, theme: str | None, missing: Missing) -> Draft:
    """UnknownVariable."""
    return Draft(name.strip(), message, theme.strip() if theme else None, missing, Template(message).variables)


@dataclass(frozen=True, slots=True)
class Snippet:
    """Times as on the wire. `uses`, `used_at`: how often it was rendered, and when last."""

    workspace: str
    id: str
    draft: Draft
    version: int
    uses: int
    updated_at: str
    used_at: str | None = None

    def shown(self) -> resources.Snippet:
        draft = self.draft
        return resources.Snippet(
            id=self.id,
            name=draft.name,
            message=draft.message,
            theme=draft.theme,
            missing=_shown_policy(draft.missing),
            variables=draft.variables,
            uses=self.uses,
            used_at=self.used_at,
            version=self.version,
            updated_at=self.updated_at,
        )


def changed(snippet: Snippet, draft: Draft, time: str) -> Snippet:
    """The next version; the same one where nothing changes."""
    if snippet.draft == draft:
        return snippet
    return replace(snippet, draft=draft, version=snippet.version + 1, updated_at=time)


def saved(snippet: Snippet, actor: str) -> CloudEvent:
    """The same version makes the same id."""
    return _event(snippet, actor, snippet.version, snippet.updated_at, SnippetSaved(snippet=snippet.shown()))


def removed(snippet: Snippet, actor: str, time: str) -> CloudEvent:
    return _event(snippet, actor, snippet.version + 1, time, SnippetRemoved(snippet=snippet.shown()))


def _shown_policy(missing: Missing) -> Any:
    return resources.SnippetFallback(fallback=missing.text) if isinstance(missing, Fallback) else missing


def _event(snippet: Snippet, actor: str, version: int, time: str, data: SnippetSaved | SnippetRemoved) -> CloudEvent:
    ident = str(uuid5(_CHANGES, canonical(snippet.workspace, snippet.id, version)))
    return CloudEvent(
        id=ident,
        type=TYPE_OF[type(data)],
        source="relaydesk/snippets",
        subject=snippet.id,
        time=time,
        workspace=snippet.workspace,
        version=version,
        causationid=ident,
        actor=actor,
        data=data.model_dump(mode="json"),
    )
