"""Claims about videos or annotations by the person who brings them: source, licence, terms. Unknown is a value, too."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.schemas.record_fields import UNKNOWN


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Where videos or annotations come from, and what may be done with them."""

    source: str = UNKNOWN
    licence: str = UNKNOWN
    terms: str = UNKNOWN
    """Conditions beside the licence: research only, say, or a link to an agreement."""
    namespace: str = UNKNOWN
    """Whose ids the videos' names are: `youtube`, say."""
    role: str = "train"
    split: str = ""
    """Of annotations: which split of their dataset they are."""
