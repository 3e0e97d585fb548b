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
    last_thought = rule_input.thoughts[-1]
    guess_findings = tuple(
        Finding(
            f"guesses: {guess_match.group()!r}",
            last_thought.start + guess_match.start(),
            last_thought.start + guess_match.end(),
        )
        for guess_match in GUESSES.finditer(last_thought.text)
    )
    return RuleScore(0.0, 1, "guesses", guess_findings) if guess_findings else RuleScore(1.0)
