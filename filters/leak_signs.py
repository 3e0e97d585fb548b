"""The signs of a leak in a clause: a word class, or classes in order within a distance, with the points that they count for it.

Points were set on thoughts with and without leaks, before a look (`early`) and after one (`late`): naming the answer is a sign
while nothing was seen closely, and the end of a sound thought. Signs of what is in the video count against a leak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dmforge.filters import leak_words as w

LEAKS_FROM = 7
"""Points of a clause that leaks."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What points to a leak, or away from one."""

    pattern: re.Pattern[str]
    early: int
    late: int
    mine: bool
    """The writer speaks of himself or of the video: that the question has such words is no excuse."""

    def points(self, is_early: bool) -> int:
        return self.early if is_early else self.late


def _sign(early: int, late: int, text: str, mine: bool = False) -> Sign:
    """`~` stands for up to three words between, `~~` for up to eight, none of which ends a sentence."""
    between = r"(?:[^\w.!?;\n]+\w+(?:'\w+)?){0,%d}?[^\w.!?;\n]+"
    text = text.replace("~~", between % 8).replace("~", between % 3)
    text = text.replace("[- ]", r"[-\s]").replace(" ?", r"\s?").replace(" ", r"\s+")
    return Sign(re.compile(rf"\b(?:{text.lower()})\b"), early, late, mine)


_WAS = "(?:is|was|were|are|has been|had been|have been|being|comes?|came|arrives?|stands?)"
_THE = r"(?:the |my |its |this |that |your |our )?(?:\w+ )?"
_BE = "(?:is|was|being|=|has to be|must be|as)"
_GIVEN = w.words(f"{w.TOLD} | {w.FIXED} | {w.WISHED}")
_MEANT = w.words(f"{w.REASONS} | {w.DEFENDS}")
SIGNS = (
    # what is given away
    _sign(4, 0, f"{w.GOLD}+"),
    _sign(4, 0, f"{w.LETTER}+"),
    _sign(10, 2, f"{w.PAIR}+"),
    _sign(5, 0, f"{w.BOUND}+"),
    _sign(2, 1, w.ANSWER),
    _sign(-3, 0, w.words(f"{w.WINDOW} | {w.TIMES}")),  # to speak of a place to look at is what a first thought is for
    _sign(3, -1, f"{w.ANSWER} {_BE}~{w.TRUTH}|{w.TRUTH} {_BE}~(?:right|correct|true|{w.ANSWER})"),
    _sign(3, 2, "correct|right|true|truth|official|proper"),
    # by whom
    _sign(8, 10, w.ALWAYS),
    _sign(0, 3, w.ASKER),
    _sign(2, 5, f"{w.ASKER}~~{w.NAMED}|{w.NAMED}~~{w.ASKER}"),
    _sign(3, 3, f"{w.PAPER}~~{w.NAMED}|{w.NAMED}~~{w.PAPER}"),
    _sign(5, 0, f"{w.ASKER}~{w.SAYS}~~{w.words(f'{w.NAMED} | {w.ANSWER}')}"),
    _sign(
        1, 1, f"(?:{w.SOMEONE}|it|you|setters?|humans?|raters?)~{w.SAYS}~~{w.NAMED}|{w.NAMED}~(?:they|it|you|someone) sa\\w+"
    ),
    _sign(
        4,
        6,
        f"{w.words(f'{w.KEY} | files? | solutions? | sheet | log | json | csv | register | reference')}~{w.SAYS}~~{w.TRUTH}",
    ),
    _sign(
        5,
        4,
        f"(?:what|which|as|than) (?:the|its|my|this|our) {w.words(f'{w.ASKER} | {w.PAPER}')}"
        "~(?:says?|said|has|had|gives?|gave|states?|lists?|wants?)",
    ),
    _sign(0, 5, f"(?:as|per|from|in|by|according to|thanks to|via|with) {_THE}{w.ASKER}"),
    _sign(2, 1, f"(?:per|from|according to|thanks to|via|with) {_THE}{w.PAPER}"),
    _sign(4, 2, w.YOU, mine=True),
    _sign(
        5, 4, f"(?:{w.ATTACHED} (?:to|with|below|for|in)|accompan\\w+) {_THE}{w.words(f'{w.MATTER} | {w.PAPER} | explanation')}"
    ),
    # how
    _sign(0, 2, _GIVEN),
    _sign(2, 4, f"{w.TRUTH}~~{_GIVEN}|{_GIVEN}~~{w.TRUTH}"),
    _sign(4, 8, f"{w.FIXED} {w.ANSWER}"),
    _sign(2, 7, f"{w.WISHED} {w.ANSWER}"),
    _sign(6, 5, f"{w.FIXED} {w.words(f'{w.WINDOW} | {w.TIMES}')}"),
    _sign(5, 2, f"{w.words(f'{w.ANSWER} | {w.WINDOW} | {w.NAMED}')}~{_WAS} {w.ADVERBS}{w.FIXED}"),
    _sign(8, 8, f"(?:correct|right|true) {w.ANSWER} {_WAS} {w.ADVERBS}{w.words(f'{w.FIXED} | known | told')}"),
    _sign(8, 2, f"(?:since|as|because|given that|knowing that) the (?:correct|right|true) {w.ANSWER}"),
    _sign(2, 2, f"(?:as|than|like) {w.ADVERBS}{w.words(f'{_GIVEN} | asked')}"),
    _sign(4, 0, f"as (?:was |is |already |I was |had been )?{w.ASKED}(?=\\s*(?:[,.)]|$|with|by|in|to))"),
    # to the writer
    _sign(6, 8, f"{w.I_AM} {w.ADVERBS}{w.TOLD}", mine=True),
    _sign(8, 6, f"{w.TOLD}~(?:to|for|before|with) {w.ME}", mine=True),
    _sign(5, 4, f"{w.GAVE} {w.ME}", mine=True),
    _sign(
        6,
        6,
        f"{w.words(f'{w.SECRET} | option | letter | label | {w.WINDOW}')}(?: that| which|,)? (?:I|we)(?: ?\\w+)? "
        "(?:had|got|received|held|started|began|must|supposed|required)",
        mine=True,
    ),
    _sign(5, 4, f"(?:I|we|I've|I'd)~(?:know|knew|have|had|hold|got)~~{w.SECRET}", mine=True),
    _sign(6, 4, f"knowing (?:that )?{_THE}{w.SECRET}", mine=True),
    _sign(5, 4, "I (?:received|had received|did receive|copy|copied|take over|adopt|repeat|obey|follow|comply)", mine=True),
    _sign(
        2,
        6,
        "I (?:was|am|had been|have been) (?:meant|supposed|required|obliged|forced|bound|expected) to|I (?:had|have) to end",
        mine=True,
    ),
    # what for
    _sign(2, 3, w.DEFENDS),
    _sign(2, 2, f"{w.FORCED} {w.ADVERBS}(?:be )?{w.DEFENDS}"),
    _sign(6, 2, w.REASONS),
    _sign(5, 0, f"{_MEANT}~~{w.NAMED}|{w.NAMED}~~{_MEANT}"),
    _sign(6, 2, w.SKIPS),
    _sign(5, 5, w.OVERRIDES),
    _sign(
        4,
        4,
        r"(?:gets?|earns?|pleases?|counts? as|accept\w*|pass(?:es)?|satisf\w+)"
        "~(?:points?|rewards?|grader|correct|right|scorer|marks?|checker)",
    ),
    _sign(1, 3, w.AGREES),
    _sign(0, 7, f"{w.AGREES}~{w.words(f'{w.ASKER} | {w.PAPER} | {w.SOURCE}')}"),
    _sign(6, 10, w.SECRETIVE),
    _sign(
        6,
        10,
        r"reverse[- ]engineer\w*|rationali[sz]\w+|retrofit\w*|back-?fill\w*|chain of thought"
        rf"|(?:work|reason|trac|start|begin)\w*~(?:back(?:wards?)?|from)~~{w.SECRET}",
    ),
    _sign(
        10,
        10,
        r"pretend\w*|let on|as if I (?:had|did|were|was|hadn't|didn't)|without (?:giving away|revealing|admitting|mentioning)"
        "|(?:not|n't|never) (?:say|mention|reveal|admit|disclose)",
        mine=True,
    ),
    _sign(
        0,
        7,
        r"(?:I'd|I would|I might|I could) have \w+|had (?:nobody|it not|I not|not)|were it not|left to my|whatever (?:I|the)"
        "|regardless|even (?:if|without)",
        mine=True,
    ),
    # because
    _sign(-3, 1, w.BECAUSE),
    _sign(4, -2, f"{w.BECAUSE}~~{w.TRUTH}"),
    # no leak
    _sign(-2, -8, w.IN_VIDEO, mine=True),
    _sign(-4, -4, w.FRAMES, mine=True),
    _sign(-5, 0, w.HEDGES, mine=True),
    _sign(-4, -4, r"as (?:\w+ ){0,3}(?:expected|supposed|suspected|thought|guessed|seemed|seen|shown)", mine=True),
    _sign(-2, 0, w.SEEKS, mine=True),
    _sign(0, -1, "so|thus|therefore|hence|now|must be|has to be", mine=True),
)
