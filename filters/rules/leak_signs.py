"""The signs of a leak in a clause: a word class, or classes in order within a distance, with the points that they count for it.

Points were fit to thoughts with and without leaks, before a look (`early`) and after one (`late`): naming the answer is a sign
while nothing was seen closely, and the end of a sound thought. Signs of what is in the video count against a leak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dmforge.filters.rules import leak_ways as ways
from dmforge.filters.rules import leak_words as w

LEAKS_FROM = 9
"""Points of a clause that leaks."""


@dataclass(frozen=True, slots=True)
class LeakSign:
    """What points to a leak, or away from one."""

    pattern: re.Pattern[str]
    early: int
    late: int
    any_words: bool
    """The writer speaks of himself or of the video: that the question has such words is no excuse."""
    wide: bool
    """Counts wherever it stands in the sentence."""

    def points(self, is_early: bool) -> int:
        return self.early if is_early else self.late


def _sign(early: int, late: int, text: str, any_words: bool = False, wide: bool = False) -> LeakSign:
    """`~` stands for up to three words between, `~~` for up to eight, none of which ends a sentence."""
    between = r"(?:[^\w.!?;\n]+\w+(?:'\w+)?){0,%d}?[^\w.!?;\n]+"
    text = text.replace("~~", between % 8).replace("~", between % 3)
    text = text.replace("[- ]", r"[-\s]").replace(" ?", r"\s?").replace(" ", r"\s+")
    return LeakSign(re.compile(rf"\b(?:{text.lower()})\b"), early, late, any_words, wide)


_WAS = "(?:is|was|were|are|has been|had been|have been|being|comes?|came|arrives?|stands?)"
_THE = r"(?:the |my |its |this |that |your |our )?(?:\w+ )?"
_BE = "(?:is|was|being|=|has to be|must be|as)"
_HEADING = w.words(f"gold | {w.ANSWER} | {w.WINDOW} | key | label | target | desired | result | output | message | text")
_SOURCE = w.words(f"{w.KEY} | files? | solutions? | sheet | log | json | csv | register | reference")
_OUTSIDE = w.words(f"{w.ANSWER} | {w.WINDOW} | {w.TIMES} | {w.PAPER} | {w.ASKER}")
_GIVEN = w.words(f"{w.TOLD} | {w.FIXED} | {w.WISHED}")
_MEANT = w.words(f"{w.REASONS} | {w.DEFENDS}")
SIGNS = (
    # what is given away
    _sign(6, -1, f"{w.GOLD}+"),
    _sign(3, -1, f"{w.LETTER}+"),
    _sign(12, 4, f"{w.PAIR}+"),
    _sign(3, -2, f"{w.BOUND}+"),
    _sign(0, 1, w.ANSWER),
    _sign(-4, -1, w.words(f"{w.WINDOW} | {w.TIMES}")),  # to speak of a place to look at is what a first thought is for
    _sign(3, -2, f"{w.ANSWER} {_BE}~{w.TRUTH}|{w.TRUTH} {_BE}~(?:right|correct|true|{w.ANSWER})"),
    _sign(3, 2, "correct|right|true|truth|official|proper"),
    # by whom
    _sign(10, 13, w.ALWAYS),
    _sign(2, 3, w.ASKER),
    _sign(2, 4, f"{w.ASKER}~~{w.NAMED}|{w.NAMED}~~{w.ASKER}"),
    _sign(4, 3, f"{w.PAPER}~~{w.NAMED}|{w.NAMED}~~{w.PAPER}"),
    _sign(6, 2, f"{w.ASKER}~{w.SAYS}~~{w.words(f'{w.NAMED} | {w.ANSWER}')}"),
    _sign(
        2, 1, f"(?:{w.SOMEONE}|it|you|setters?|humans?|raters?)~{w.SAYS}~~{w.NAMED}|{w.NAMED}~(?:they|it|you|someone) sa\\w+"
    ),
    _sign(
        4,
        6,
        f"{_SOURCE}~{w.SAYS}~~{w.TRUTH}",
    ),
    _sign(
        5,
        4,
        f"(?:what|which|as|than) (?:the|its|my|this|our) {w.words(f'{w.ASKER} | {w.PAPER}')}"
        "~(?:says?|said|has|had|gives?|gave|states?|lists?|wants?)",
    ),
    _sign(-1, 3, f"(?:as|per|from|in|by|according to|thanks to|via|with) {_THE}{w.ASKER}"),
    _sign(2, 2, f"(?:per|from|according to|thanks to|via|with) {_THE}{w.PAPER}"),
    _sign(4, 2, w.YOU, any_words=True),
    _sign(
        6, 5, f"(?:{w.ATTACHED} (?:to|with|below|for|in)|accompan\\w+) {_THE}{w.words(f'{w.MATTER} | {w.PAPER} | explanation')}"
    ),
    # how
    _sign(-2, 1, _GIVEN),
    _sign(6, 6, f"{w.TRUTH}~~{_GIVEN}|{_GIVEN}~~{w.TRUTH}"),
    _sign(3, 8, f"{w.FIXED} {w.ANSWER}"),
    _sign(2, 7, f"{w.WISHED} {w.ANSWER}"),
    _sign(6, 6, f"{w.FIXED} {w.words(f'{w.WINDOW} | {w.TIMES}')}"),
    _sign(5, 2, f"{w.words(f'{w.ANSWER} | {w.WINDOW} | {w.NAMED}')}~{_WAS} {w.ADVERBS}{w.FIXED}"),
    _sign(8, 8, f"(?:correct|right|true) {w.ANSWER} {_WAS} {w.ADVERBS}{w.words(f'{w.FIXED} | known | told')}"),
    _sign(8, 2, f"(?:since|as|because|given that|knowing that) the (?:correct|right|true) {w.ANSWER}"),
    _sign(3, 3, f"(?:as|than|like) {w.ADVERBS}{w.words(f'{_GIVEN} | asked')}"),
    _sign(4, 0, f"as (?:was |is |already |I was |had been )?{w.ASKED}(?=\\s*(?:[,.)]|$|with|by|in|to))"),
    # to the writer
    _sign(4, 6, f"{w.I_AM} {w.ADVERBS}{w.TOLD}", any_words=True),
    _sign(8, 6, f"{w.TOLD}~(?:to|for|before|with) {w.ME}", any_words=True),
    _sign(5, 4, f"{w.GAVE} {w.ME}", any_words=True),
    _sign(
        6,
        6,
        f"{w.words(f'{w.SECRET} | option | letter | label | {w.WINDOW}')}(?: that| which|,)? (?:I|we)(?: ?\\w+)? "
        "(?:had|got|received|held|started|began|must|supposed|required)",
        any_words=True,
    ),
    _sign(5, 5, f"(?:I|we|I've|I'd)~(?:know|knew|have|had|hold|got)~~{w.SECRET}", any_words=True),
    _sign(6, 4, f"knowing (?:that )?{_THE}{w.SECRET}", any_words=True),
    _sign(
        5, 4, "I (?:received|had received|did receive|copy|copied|take over|adopt|repeat|obey|follow|comply)", any_words=True
    ),
    _sign(
        2,
        6,
        "I (?:was|am|had been|have been) (?:meant|supposed|required|obliged|forced|bound|expected) to|I (?:had|have) to end",
        any_words=True,
    ),
    # what for
    _sign(1, 2, w.DEFENDS),
    _sign(1, 2, f"{w.FORCED} {w.ADVERBS}(?:be )?{w.DEFENDS}"),
    _sign(4, 2, w.REASONS),
    _sign(5, 0, f"{_MEANT}~~{w.NAMED}|{w.NAMED}~~{_MEANT}"),
    _sign(5, 2, w.SKIPS),
    _sign(3, 4, w.OVERRIDES),
    _sign(
        4,
        4,
        r"(?:gets?|earns?|pleases?|counts? as|accept\w*|pass(?:es)?|satisf\w+)"
        "~(?:points?|rewards?|grader|correct|right|scorer|marks?|checker)",
    ),
    _sign(0, 1, w.AGREES),
    _sign(0, 7, f"{w.AGREES}~{w.words(f'{w.ASKER} | {w.PAPER} | {w.SOURCE}')}"),
    _sign(6, 10, w.SECRETIVE),
    _sign(
        7,
        11,
        r"reverse[- ]engineer\w*|rationali[sz]\w+|retrofit\w*|back-?fill\w*|chain of thought"
        rf"|(?:work|reason|trac|start|begin)\w*~(?:back(?:wards?)?|from)~~{w.SECRET}",
    ),
    _sign(
        10,
        10,
        r"let on|pretend (?:I|not|for|that)|as if I (?:had|did|were|was|hadn't|didn't)|without (?:giving away|revealing"
        r"|admitting|mentioning)"
        "|(?:not|n't|never) (?:say|mention|reveal|admit|disclose)",
        any_words=True,
    ),
    _sign(
        -1,
        6,
        r"(?:I'd|I would|I might|I could) have \w+|had (?:nobody|it not|I not|not)|were it not|left to my|whatever (?:I|the)"
        "|regardless|even (?:if|without)",
        any_words=True,
    ),
    # because
    _sign(-2, 3, w.BECAUSE),
    _sign(3, -2, f"{w.BECAUSE}~~{w.TRUTH}"),
    # how he came by it
    _sign(5, 4, f"{ways.HOLDS}~~{w.words(f'{w.NAMED} | {w.ANSWER}')}|{w.NAMED}~~{ways.HOLDS}", any_words=True),
    _sign(5, 6, f"{ways.MINE}", any_words=True),
    _sign(3, 2, f"{ways.BY_QUESTION}", any_words=True),
    _sign(3, 2, f"{ways.BY_QUESTION}~~{w.NAMED}|{w.NAMED}~~{ways.BY_QUESTION}", any_words=True),
    _sign(2, 3, ways.BEFORE, any_words=True),
    _sign(2, 2, f"{ways.BEFORE}~~{w.NAMED}|{w.NAMED}~~{ways.BEFORE}", any_words=True),
    _sign(4, 7, ways.AUTHORITY),
    _sign(5, 6, ways.ELSEWHERE, any_words=True),
    _sign(5, 5, f"(?:they|someone|somebody|whoever|one|ones)~{w.SAYS}~(?:me|us)", any_words=True),
    _sign(3, 3, "(?:what|where|which|as|for|that) they", any_words=True),
    _sign(3, 5, f"having (?:been|got|had|it|{w.NAMED})|{w.TRUTH} being|being {w.TRUTH}", any_words=True),
    _sign(
        3,
        4,
        f"(?:the )?(?:one|ones|word|thing|string|wording|figures?|number|name|pair|piece)~{w.words(f'{w.WISHED} | {w.TOLD}')}",
    ),
    _sign(
        4,
        0,
        rf"{_HEADING}\s*[:=]",
    ),
    # what he makes of it
    _sign(5, 7, f"{ways.MUST} {w.ADVERBS}(?:be )?{ways.ENDS}", any_words=True),
    _sign(4, 5, "what (?:I|we|one|they|you)(?:'m|'ve|'d)?~(?:to|been|had|got|must|ought|want|wants)", any_words=True),
    _sign(4, 5, ways.PRETENDS, any_words=True),
    _sign(3, 8, ways.DEFERS, any_words=True),
    _sign(6, 5, ways.IDLE, any_words=True),
    _sign(3, 4, ways.UNFREE, any_words=True),
    _sign(6, 6, ways.WHY_ASK, any_words=True),
    _sign(
        3, -1, f"{w.TRUTH}~~(?:so|thus|then|hence|therefore|consequently|accordingly)|(?:so|then|hence|therefore)~~{w.TRUTH}"
    ),
    _sign(1, 1, f"(?:look|find|zoom|check|go|need|want|watch|search|inspect|focus|view|concentrate|show|see)~~{w.TRUTH}"),
    _sign(2, 2, "me|my|mine|myself|we|us|our", any_words=True),
    _sign(0, 3, "though|although|however|yet|still|anyway|but|nonetheless|even so", any_words=True),
    _sign(5, 9, ways.TECHNICAL),
    _sign(5, 5, f"{ways.DOCUMENT}~~{w.SAYS}~~{w.NAMED}|{ways.DOCUMENT} {w.NAMED}|{w.NAMED}, says"),
    _sign(1, 0, f"{w.NAMED}~~{ways.DOCUMENT}"),
    _sign(
        4,
        6,
        r"(?:as|how it (?:is|was)|for that is how it was) (?:received|declared|ordered|keyed|filed|stored|sent|set|agreed"
        r"|recorded|marked|dictated|laid down)",
    ),
    _sign(3, 0, rf"[a-z][:=][^a-z\ua500-\ua507]*(?:the |an? )?{w.TRUTH}"),
    _sign(
        4,
        5,
        f"(?:option|choice|alternative|answer|second|third|first|fourth|one|list|options|choices)~~{ways.TICKED}"
        f"|{ways.TICKED}~~(?:right|correct)",
    ),
    _sign(
        4,
        3,
        f"(?:certified|attested|known|put|keyed|filed|stored|down|set|declared|laid|said to|stipulated|supposed|must"
        f"|has to|meant)~{w.TRUTH}|{w.TRUTH}~(?:has to|had to|must) (?:hold|be|stand|win)",
    ),
    _sign(7, 8, f"(?:the|my|this|its|our) {ways.TECHNICAL} {w.SAYS}"),
    _sign(8, 8, f"(?:according to|per|by|as|from|in|with|matches|match|against|to) (?:the|my|this) {ways.TECHNICAL}"),
    _sign(
        6,
        6,
        f"(?:the|my|this|its) (?:prompt|task|user|dataset|brief|instructions?|request|system|file|metadata|reference"
        f"|label|key) {w.SAYS}",
    ),
    # he speaks of himself, and not of what he sees
    _sign(5, 8, ways.SELF, any_words=True),
    _sign(5, 5, r"(?<!let\s)(?<!lets\s)(?<!tell\s)(?<!tells\s)(?:me|myself|mine)", any_words=True),
    _sign(4, 5, "my(?! (?:guess|impression|reading|count|rough|first))", any_words=True),
    _sign(2, 4, r"(?:had|has|have|'ve|having) (?:already |just |only )?been", any_words=True),
    _sign(1, 1, r"(?:I|we|it|they|that|which) (?:was|were|had)", any_words=True),
    _sign(
        3,
        5,
        "this (?:clip|video|one|question|item|exercise|way|writer|thought|reasoning|answer|reply|must|time|here)|for this"
        "|with this",
        any_words=True,
    ),
    _sign(3, 3, "(?:that's|is|as|which is|just|precisely) what|what(?:'s| is| was)", any_words=True),
    _sign(5, 3, f"(?:that|it's|it is|it was|is|be|being|says?|said|called|names?|as|reads) (?:the |an? )?{w.TRUTH}"),
    _sign(3, 1, rf"^[^a-z\ua500-\ua507]*(?:the |an? )?{w.TRUTH}"),
    _sign(0, 1, f"(?:since|because|so|as|therefore|hence|though|but|yet|however|and|or)~{w.TRUTH}"),
    _sign(-2, 2, r"(?:could|can|might|may|maybe|perhaps|or|can't|cannot|hidden|blur\w*|smear\w*|unclear|hard to)", wide=True),
    _sign(-4, -6, ways.FIGURES, any_words=True),
    _sign(3, 4, ways.INSIDE, any_words=True),
    # other options
    _sign(0, 1, w.HEDGES, any_words=True, wide=True),
    _sign(-2, -1, f"{w.RIVAL}+", wide=True),
    _sign(-2, -2, w.IN_VIDEO, any_words=True, wide=True),
    _sign(0, 3, w.FRAMES, any_words=True, wide=True),
    _sign(
        -2,
        -2,
        "verify|verified|check|checking|candidates?|impression|my guess|rough|remains open|to be (?:seen|watched|checked"
        "|confirmed)",
        any_words=True,
        wide=True,
    ),
    _sign(-2, -2, ways.SEEN, any_words=True, wide=True),
    _sign(-7, -1, f"{w.RIVAL}+"),
    _sign(-3, 0, f"{w.TRUTH}~or|or~{w.TRUTH}"),
    _sign(0, 3, f"{w.RIVAL}+~~{ways.CONTRARY}~~{w.TRUTH}"),
    # no leak
    _sign(
        -5,
        -5,
        rf"(?:the|a|an|his|her|their) (?!{_OUTSIDE})\w+ {_WAS} {w.ADVERBS}{w.TOLD}",
        any_words=True,
    ),
    _sign(
        -3,
        -3,
        "(?:the )?question(?:'s)? (?:asks|is|says|names|wants|mentions|presupposes|words|speaks|concerns|allows|only)",
        any_words=True,
    ),
    _sign(-3, -2, r"(?:reads?|says?|shows?|spells?|listed|written|printed)(?=\s*[:,]?\s*[\"'\ua505])", any_words=True),
    _sign(-2, -9, w.IN_VIDEO, any_words=True),
    _sign(-4, -2, w.FRAMES, any_words=True),
    _sign(-4, 0, w.HEDGES, any_words=True),
    _sign(-4, -4, r"as (?:\w+ ){0,3}(?:expected|supposed|suspected|thought|guessed|seemed|seen|shown)", any_words=True),
    _sign(-1, 2, w.SEEKS, any_words=True),
    _sign(0, -1, "so|thus|therefore|hence|now|must be|has to be", any_words=True),
)
