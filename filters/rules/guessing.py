"""Does the last thought stand by its answer? An answer that its own thought calls a guess doesn't follow from what was seen."""

from __future__ import annotations

import re

from dmforge.filters.rules.rule import Finding, RuleInput, RuleScore

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


def unguessed(rule_input: RuleInput) -> RuleScore:
    """Does the last thought draw its answer from what was seen, by its own words?"""
    if len(rule_input.thoughts) < 2:
        return RuleScore(1.0)
    thought = rule_input.thoughts[-1]
    faults = tuple(
        Finding(f"guesses: {match.group()!r}", thought.start + match.start(), thought.start + match.end())
        for match in GUESSES.finditer(thought.text)
    )
    return RuleScore(0.0, 1, "guesses", faults) if faults else RuleScore(1.0)
