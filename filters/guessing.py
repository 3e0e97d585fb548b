"""Does the last thought stand by its answer? Who says that he guesses was not told by what he saw, right or not."""

from __future__ import annotations

import re

from dmforge.filters.judged import Fault, Judged, Measure

GUESSES = re.compile(
    "|".join(
        (
            r"\bI (?:have to|must|can only|will have to|would have to) guess\b|\bI(?:'m| am) (?:only |just )?guessing\b",
            r"\bmy (?:best )?guess\b|\b(?:just|only|merely) a guess\b",
            r"\b(?:these|the) frames (?:do not|don't) (?:show|tell|reveal) (?:it|this|that|the answer|what)\b",
            r"\bI (?:can ?not|can't) (?:tell|determine|know) (?:it|this|which|what|whether|how|when|where|the answer)\b",
            r"\b(?:it|this) (?:can ?not|can't) be (?:told|determined|answered)\b",
        )
    ),
    re.IGNORECASE,
)


def unguessed(judged: Judged) -> Measure:
    """Does the last thought draw its answer from what was seen, by its own words?"""
    if len(judged.thoughts) < 2:
        return Measure(1.0)
    thought = judged.thoughts[-1]
    faults = tuple(
        Fault(f"guesses: {found.group()!r}", thought.start + found.start(), thought.start + found.end())
        for found in GUESSES.finditer(thought.text)
    )
    return Measure(0.0, 1, "guesses", faults) if faults else Measure(1.0)
