"""Words that only someone who was shown the answer would write: a trajectory that has them teaches to claim, not to look."""

from __future__ import annotations

import re

from dmforge.filters.judged import Fault, Judged, Measure

RIGHT = r"(?:correct|right) (?:answer|option|choice|window|span|segment)"
KNOWN = re.compile(
    "|".join(
        (
            r"\bground[- ]?truths?\b|\bannotat(?:ions?|ors?)\b|\banswer key\b|\bgold(?:en)? (?:label|standard)\b",
            r"\b(?:ground[- ]?truth|gold|given|provided|expected|reference|official|known|labell?ed|annotated|target) "
            r"(?:answer|solution|span|window|timestamp|segment|interval|label|option)s?\b",
            rf"\b{RIGHT} (?:is|was|has been) (?:already )?(?:given|known|provided|told|stated|specified)\b",
            rf"\b(?:since|as|because|knowing that|given that) the {RIGHT}\b",
            r"\bI (?:was|am|have been|'m) (?:told|given|informed)\b",
            r"\baccording to the (?:labels?|metadata|solution|dataset)\b",
        )
    ),
    re.IGNORECASE,
)
"""In any thought."""
TOO_EARLY = re.compile(r"\b(?:the )?(?:correct|right) (?:answer|option|choice)\b", re.IGNORECASE)
"""Before the closer look: what is right isn't known there. After it, `so the right answer is B` concludes something."""


def unleaked(judged: Judged) -> Measure:
    """Does no thought speak of an answer, a window or an annotation that it was given?"""
    asked = judged.question.casefold()
    faults: list[Fault] = []
    for nth, thought in enumerate(judged.thoughts):
        before_look = nth == 0 and len(judged.thoughts) > 1
        for pattern in (KNOWN, TOO_EARLY) if before_look else (KNOWN,):
            for found in pattern.finditer(thought.text):
                if found.group().casefold() not in asked:  # who is asked about an annotation speaks of it
                    begin, end = thought.start + found.start(), thought.start + found.end()
                    faults.append(Fault(f"speaks of what it was given: {found.group()!r}", begin, end))
    n = len(judged.thoughts)
    return Measure(0.0, n, "leaked gold", tuple(faults)) if faults else Measure(1.0, n)
