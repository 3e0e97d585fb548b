"""Rules against sound: the student sees frames and hears nothing, so neither question nor thought may rest on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.filters.rules.rule import Finding, RuleInput, RuleScore, TextSpan, measure_share

CLAIMS_OF_SOUND = re.compile(
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
"""Words of a thought that claims to have heard something."""
SPEAKING_VERBS = (
    "say|saying|said|sing|singing|sung|shout|shouting|yell|yelling|whisper|whispering|reply|announce|"
    "talk(?:ing)? about|speak(?:ing)? about|spoken|mention(?:ed)?"
)
QUESTIONS_ABOUT_SOUND = re.compile(
    "|".join(
        (
            rf"\bwhat (?:do|does|did|is|was|are|were)\b[^?.!]{{0,80}}?\b(?:{SPEAKING_VERBS})\b",
            r"\b(?:what|which) (?:language|song|music|sound|noise|melody|tune|accent)\b",
            r"\bwho(?:se)? (?:voice|is (?:speaking|singing|talking))\b|\btone of (?:his|her|their|the) voice\b",
            r"\bhow loud",
        )
    ),
    re.IGNORECASE,
)
"""Words of a question whose answer must be heard."""
READABLE_THINGS = re.compile(
    r"\b(?:sign|board|label|text|screen|caption|poster|banner|letters?|page|book|shirt|note|card|subtitles?|title|paper|display|sticker|"
    r"headline|message|inscription|tag|plate|logo)\b",
    re.IGNORECASE,
)
"""Things that can be read: what a sign says needs no ears."""


def silent(rule_input: RuleInput) -> RuleScore:
    """Can question and thoughts do without sound?"""
    question_measure = audible(rule_input.question)
    if question_measure.faults:
        # the question stands in the prompt, not in this text: the whole text is marked
        return RuleScore(
            0.0,
            1,
            question_measure.reason,
            tuple(Finding(sound_finding.message, 0, len(rule_input.text)) for sound_finding in question_measure.faults),
        )
    sound_findings = [sound_finding for thought in rule_input.thoughts for sound_finding in _sound_claims(thought)]
    return (
        RuleScore(0.0, len(rule_input.thoughts), "rests on sound", tuple(sound_findings))
        if sound_findings
        else RuleScore(1.0, len(rule_input.thoughts))
    )


def audible(question: str) -> RuleScore:
    """Can a question be answered without hearing anything? Places are offsets in the question."""
    sound_findings = [
        Finding(f"asks for sound: {sound_match.group()[:80]!r}", sound_match.start(), sound_match.end())
        for sound_match in (*QUESTIONS_ABOUT_SOUND.finditer(question), *CLAIMS_OF_SOUND.finditer(question))
        if not READABLE_THINGS.search(question)
    ]
    return measure_share(sound_findings[:1], 1, "asks for sound")


def _sound_claims(thought: TextSpan) -> Iterator[Finding]:
    for claim_match in CLAIMS_OF_SOUND.finditer(thought.text):
        yield Finding(
            f"rests on sound: {claim_match.group()!r}", thought.start + claim_match.start(), thought.start + claim_match.end()
        )
