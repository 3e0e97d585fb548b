"""What only ears can tell: the student sees frames and hears nothing, so neither question nor thought may rest on sound."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.filters.judged import Fault, Judged, Measure, Stretch, shared

CLAIMS = re.compile(
    "|".join(
        (
            r"\b(?:over|un)?hear(?:s|d|ing|able)?\b",
            r"\b(?:in)?audibl[ey]\b|\baudio\b|\bsoundtrack\b",
            r"\blisten(?:s|ed|ing)?\b",
            r"\bvoices?\b|\bvoice-?overs?\b|\bnarrat(?:or|ion|es|ed)\b",
            r"\b(?:the|a|no|any|loud|faint) (?:sound|noise)s?\b|\bsounds? (?:of|can|is|are|comes?)\b",
            r"\b(?:music|song|melody) (?:is|can|starts?|stops?|plays?|begins?|ends?|gets?|in the background)\b",
            r"\b(?:says?|said|announces?d?|tells?) over the (?:speakers?|radio|intercom|phone)\b",
            r"\bout loud\b|\bloudly\b",
        )
    ),
    re.IGNORECASE,
)
"""In a thought: that something was heard."""
SPOKEN = (
    "say|saying|said|sing|singing|sung|shout|shouting|yell|yelling|whisper|whispering|reply|announce|"
    "talk(?:ing)? about|speak(?:ing)? about|spoken|mention(?:ed)?"
)
ASKS = re.compile(
    "|".join(
        (
            rf"\bwhat (?:do|does|did|is|was|are|were)\b[^?.!]{{0,80}}?\b(?:{SPOKEN})\b",
            r"\b(?:what|which) (?:language|song|music|sound|noise|melody|tune|accent)\b",
            r"\bwho(?:se)? (?:voice|is (?:speaking|singing|talking))\b|\btone of (?:his|her|their|the) voice\b",
            r"\bhow loud",
        )
    ),
    re.IGNORECASE,
)
"""In a question: that the answer is something to be heard."""
READABLE = re.compile(
    r"\b(?:sign|board|label|text|screen|caption|poster|banner|letters?|page|book|shirt|note|card|subtitles?|title|paper|display|sticker|"
    r"headline|message|inscription|tag|plate|logo)\b",
    re.IGNORECASE,
)
"""What says something to the eye."""


def silent(judged: Judged) -> Measure:
    """Can question and thoughts do without sound?"""
    asked = audible(judged.question)
    if asked.faults:
        # the question stands in the prompt: what the answer is to rest on begins with the text
        return Measure(0.0, 1, asked.reason, tuple(Fault(fault.message, 0, len(judged.text)) for fault in asked.faults))
    faults = [fault for thought in judged.thoughts for fault in _claims(thought)]
    return Measure(0.0, len(judged.thoughts), "rests on sound", tuple(faults)) if faults else Measure(1.0, len(judged.thoughts))


def audible(question: str) -> Measure:
    """Can a question be answered without hearing anything? Places count in the question."""
    faults = [
        Fault(f"asks for sound: {found.group()[:80]!r}", found.start(), found.end())
        for found in (*ASKS.finditer(question), *CLAIMS.finditer(question))
        if not READABLE.search(question)
    ]
    return shared(faults[:1], 1, "asks for sound")


def _claims(thought: Stretch) -> Iterator[Fault]:
    for found in CLAIMS.finditer(thought.text):
        yield Fault(f"rests on sound: {found.group()!r}", thought.start + found.start(), thought.start + found.end())
