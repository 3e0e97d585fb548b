"""The signs of a leak in a sentence, each by its name: a word class, or classes in order within a distance.

Some point to a leak and some away from one: how much each weighs, before a look and after it, was fitted (`leak_weights.tsv`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from dmforge.filters.rules import leak_ways as ways
from dmforge.filters.rules import leak_words as w


@dataclass(frozen=True, slots=True)
class LeakSign:
    """A pattern of a sentence, and what it is called among the weights."""

    name: str
    pattern_text: str
    any_words: bool
    """The writer speaks of himself or of the video: that the question has such words is no excuse."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when a sentence is first held against it: all of them take longer than the rest of a start."""
        return _compiled(self.pattern_text)


@cache
def _compiled(pattern_text: str) -> re.Pattern[str]:
    return re.compile(pattern_text)


def _sign(name: str, pattern_text: str, any_words: bool = False) -> LeakSign:
    """`~` stands for up to three words between, `~~` for up to eight, none of which ends a sentence."""
    words_between = r"(?:[^\w.!?;\n]+\w+(?:'\w+)?){0,%d}?[^\w.!?;\n]+"
    pattern_text = pattern_text.replace("~~", words_between % 8).replace("~", words_between % 3)
    pattern_text = pattern_text.replace("[- ]", r"[-\s]").replace(" ?", r"\s?").replace(" ", r"\s+")
    return LeakSign(name, rf"\b(?:{pattern_text.lower()})\b", any_words)


_WAS = "(?:is|was|were|are|has been|had been|have been|being|comes?|came|arrives?|stands?)"
_THE = r"(?:the |my |its |this |that |your |our )?(?:\w+ )?"
_BE = "(?:is|was|being|=|has to be|must be|as)"
_HEADING = w.words(f"gold | {w.ANSWER} | {w.WINDOW} | key | label | target | desired | result | output | message | text")
_SOURCE = w.words(f"{w.KEY} | files? | solutions? | sheet | log | json | csv | register | reference")
_OUTSIDE = w.words(f"{w.ANSWER} | {w.WINDOW} | {w.TIMES} | {w.PAPER} | {w.ASKER}")
_GIVEN = w.words(f"{w.TOLD} | {w.FIXED} | {w.WISHED}")
_MEANT = w.words(f"{w.REASONS} | {w.DEFENDS}")
SIGNS = (
    # what nobody says who was not told
    _sign(
        "plainly told",
        f"the (?:ground[- ]truth|annotation|answer key) says (?:{w.TRUTH}|when|where|which)"
        "|according to the (?:annotation|ground[- ]truth|answer key)[,]? (?:it|this) is"
        f"|(?:correct|expected) answer is (?:given|{w.TRUTH})",
    ),
    # what is given away
    _sign("answer", f"{w.GOLD}+"),
    _sign("letter", f"{w.LETTER}+"),
    _sign("window", f"{w.PAIR}+"),
    _sign("bound", f"{w.BOUND}+"),
    _sign("an answer", w.ANSWER),
    _sign("a window", w.words(f"{w.WINDOW} | {w.TIMES}")),  # to speak of a place to look at is what a first thought is for
    _sign("answer is gold", f"{w.ANSWER} {_BE}~{w.TRUTH}|{w.TRUTH} {_BE}~(?:right|correct|true|{w.ANSWER})"),
    _sign("correct", "correct|right|true|truth|official|proper"),
    # by whom
    _sign("outsider", w.ALWAYS),
    _sign("asker", w.ASKER),
    _sign("asker beside gold", f"{w.ASKER}~~{w.NAMED}|{w.NAMED}~~{w.ASKER}"),
    _sign("paper beside gold", f"{w.PAPER}~~{w.NAMED}|{w.NAMED}~~{w.PAPER}"),
    _sign("asker says gold", f"{w.ASKER}~{w.SAYS}~~{w.words(f'{w.NAMED} | {w.ANSWER}')}"),
    _sign(
        "someone says gold",
        f"(?:{w.SOMEONE}|it|you|setters?|humans?|raters?)~{w.SAYS}~~{w.NAMED}|{w.NAMED}~(?:they|it|you|someone) sa\\w+",
    ),
    _sign(
        "key says gold",
        f"{_SOURCE}~{w.SAYS}~~{w.TRUTH}",
    ),
    _sign(
        "as the asker says",
        f"(?:what|which|as|than) (?:the|its|my|this|our) {w.words(f'{w.ASKER} | {w.PAPER}')}"
        "~(?:says?|said|has|had|gives?|gave|states?|lists?|wants?)",
    ),
    _sign("per the asker", f"(?:as|per|from|in|by|according to|thanks to|via|with) {_THE}{w.ASKER}"),
    _sign("per the paper", f"(?:per|from|according to|thanks to|via|with) {_THE}{w.PAPER}"),
    _sign("you", w.YOU, any_words=True),
    _sign(
        "attached to the question",
        f"(?:{w.ATTACHED} (?:to|with|below|for|in)|accompan\\w+) {_THE}{w.words(f'{w.MATTER} | {w.PAPER} | explanation')}",
    ),
    # how
    _sign("given", _GIVEN),
    _sign("gold given", f"{w.TRUTH}~~{_GIVEN}|{_GIVEN}~~{w.TRUTH}"),
    _sign("fixed answer", f"{w.FIXED} {w.ANSWER}"),
    _sign("wished answer", f"{w.WISHED} {w.ANSWER}"),
    _sign("fixed window", f"{w.FIXED} {w.words(f'{w.WINDOW} | {w.TIMES}')}"),
    _sign("answer was fixed", f"{w.words(f'{w.ANSWER} | {w.WINDOW} | {w.NAMED}')}~{_WAS} {w.ADVERBS}{w.FIXED}"),
    _sign(
        "right answer is given", f"(?:correct|right|true) {w.ANSWER} {_WAS} {w.ADVERBS}{w.words(f'{w.FIXED} | known | told')}"
    ),
    _sign("since the right answer", f"(?:since|as|because|given that|knowing that) the (?:correct|right|true) {w.ANSWER}"),
    _sign("as given", f"(?:as|than|like) {w.ADVERBS}{w.words(f'{_GIVEN} | asked')}"),
    _sign("as asked", f"as (?:was |is |already |I was |had been )?{w.ASKED}(?=\\s*(?:[,.)]|$|with|by|in|to))"),
    # to the writer
    _sign("I was told", f"{w.I_AM} {w.ADVERBS}{w.TOLD}", any_words=True),
    _sign("told to me", f"{w.TOLD}~(?:to|for|before|with) {w.ME}", any_words=True),
    _sign("gave me", f"{w.GAVE} {w.ME}", any_words=True),
    _sign(
        "answer that I had",
        f"{w.words(f'{w.SECRET} | option | letter | label | {w.WINDOW}')}(?: that| which|,)? (?:I|we)(?: ?\\w+)? "
        "(?:had|got|received|held|started|began|must|supposed|required)",
        any_words=True,
    ),
    _sign("I hold the answer", f"(?:I|we|I've|I'd)~(?:know|knew|have|had|hold|got)~~{w.SECRET}", any_words=True),
    _sign("knowing the answer", f"knowing (?:that )?{_THE}{w.SECRET}", any_words=True),
    _sign(
        "I received",
        "I (?:received|had received|did receive|copy|copied|take over|adopt|repeat|obey|follow|comply)",
        any_words=True,
    ),
    _sign(
        "I was meant to",
        "I (?:was|am|had been|have been) (?:meant|supposed|required|obliged|forced|bound|expected) to|I (?:had|have) to end",
        any_words=True,
    ),
    # what for
    _sign("defends", w.DEFENDS),
    _sign("must defend", f"{w.FORCED} {w.ADVERBS}(?:be )?{w.DEFENDS}"),
    _sign("reasons", w.REASONS),
    _sign("reasons for gold", f"{_MEANT}~~{w.NAMED}|{w.NAMED}~~{_MEANT}"),
    _sign("needs no search", w.SKIPS),
    _sign("overrides", w.OVERRIDES),
    _sign(
        "earns points",
        r"(?:gets?|earns?|pleases?|counts? as|accept\w*|pass(?:es)?|satisf\w+)"
        "~(?:points?|rewards?|grader|correct|right|scorer|marks?|checker)",
    ),
    _sign("agrees", w.AGREES),
    _sign("agrees with a key", f"{w.AGREES}~{w.words(f'{w.ASKER} | {w.PAPER} | {w.SOURCE}')}"),
    _sign("secretive", w.SECRETIVE),
    _sign(
        "works backwards",
        r"reverse[- ]engineer\w*|rationali[sz]\w+|retrofit\w*|back-?fill\w*|chain of thought"
        rf"|(?:work|reason|trac|start|begin)\w*~(?:back(?:wards?)?|from)~~{w.SECRET}",
    ),
    _sign(
        "lets on",
        r"let on|pretend (?:I|not|for|that)|as if I (?:had|did|were|was|hadn't|didn't)|without (?:giving away|revealing"
        r"|admitting|mentioning)"
        "|(?:not|n't|never) (?:say|mention|reveal|admit|disclose)",
        any_words=True,
    ),
    _sign(
        "would have",
        r"(?:I'd|I would|I might|I could) have \w+|had (?:nobody|it not|I not|not)|were it not|left to my|whatever (?:I|the)"
        "|regardless|even (?:if|without)",
        any_words=True,
    ),
    # because
    _sign("because", w.BECAUSE),
    _sign("because of gold", f"{w.BECAUSE}~~{w.TRUTH}"),
    # how he came by it
    _sign("holds gold", f"{ways.HOLDS}~~{w.words(f'{w.NAMED} | {w.ANSWER}')}|{w.NAMED}~~{ways.HOLDS}", any_words=True),
    _sign("my papers", f"{ways.MINE}", any_words=True),
    _sign("by the question", f"{ways.BY_QUESTION}", any_words=True),
    _sign("gold by the question", f"{ways.BY_QUESTION}~~{w.NAMED}|{w.NAMED}~~{ways.BY_QUESTION}", any_words=True),
    _sign("before", ways.BEFORE, any_words=True),
    _sign("gold before", f"{ways.BEFORE}~~{w.NAMED}|{w.NAMED}~~{ways.BEFORE}", any_words=True),
    _sign("authority", ways.AUTHORITY),
    _sign("from elsewhere", ways.ELSEWHERE, any_words=True),
    _sign("they told me", f"(?:they|someone|somebody|whoever|one|ones)~{w.SAYS}~(?:me|us)", any_words=True),
    _sign("what they", "(?:what|where|which|as|for|that) they", any_words=True),
    _sign("having gold", f"having (?:been|got|had|it|{w.NAMED})|{w.TRUTH} being|being {w.TRUTH}", any_words=True),
    _sign(
        "the one told",
        f"(?:the )?(?:one|ones|word|thing|string|wording|figures?|number|name|pair|piece)~{w.words(f'{w.WISHED} | {w.TOLD}')}",
    ),
    _sign(
        "heading",
        rf"{_HEADING}\s*[:=]",
    ),
    # what he makes of it
    _sign("must end", f"{ways.MUST} {w.ADVERBS}(?:be )?{ways.ENDS}", any_words=True),
    _sign("what I must", "what (?:I|we|one|they|you)(?:'m|'ve|'d)?~(?:to|been|had|got|must|ought|want|wants)", any_words=True),
    _sign("pretends", ways.PRETENDS, any_words=True),
    _sign("defers", ways.DEFERS, any_words=True),
    _sign("needs not look", ways.IDLE, any_words=True),
    _sign("is not free", ways.UNFREE, any_words=True),
    _sign("why ask", ways.WHY_ASK, any_words=True),
    _sign(
        "gold so",
        f"{w.TRUTH}~~(?:so|thus|then|hence|therefore|consequently|accordingly)|(?:so|then|hence|therefore)~~{w.TRUTH}",
    ),
    _sign(
        "look for gold",
        f"(?:look|find|zoom|check|go|need|want|watch|search|inspect|focus|view|concentrate|show|see)~~{w.TRUTH}",
    ),
    _sign("me", "me|my|mine|myself|we|us|our", any_words=True),
    _sign("though", "though|although|however|yet|still|anyway|but|nonetheless|even so", any_words=True),
    _sign("technical", ways.TECHNICAL),
    _sign("document says gold", f"{ways.DOCUMENT}~~{w.SAYS}~~{w.NAMED}|{ways.DOCUMENT} {w.NAMED}|{w.NAMED}, says"),
    _sign("gold beside document", f"{w.NAMED}~~{ways.DOCUMENT}"),
    _sign(
        "as received",
        r"(?:as|how it (?:is|was)|for that is how it was) (?:received|declared|ordered|keyed|filed|stored|sent|set|agreed"
        r"|recorded|marked|dictated|laid down)",
    ),
    _sign("colon gold", rf"[a-z][:=][^a-z\ua500-\ua507]*(?:the |an? )?{w.TRUTH}"),
    _sign(
        "option ticked",
        f"(?:option|choice|alternative|answer|second|third|first|fourth|one|list|options|choices)~~{ways.TICKED}"
        f"|{ways.TICKED}~~(?:right|correct)",
    ),
    _sign(
        "certified gold",
        f"(?:certified|attested|known|put|keyed|filed|stored|down|set|declared|laid|said to|stipulated|supposed|must"
        f"|has to|meant)~{w.TRUTH}|{w.TRUTH}~(?:has to|had to|must) (?:hold|be|stand|win)",
    ),
    _sign("the annotation says", f"(?:the|my|this|its|our) {ways.TECHNICAL} {w.SAYS}"),
    _sign(
        "per the annotation",
        f"(?:according to|per|by|as|from|in|with|matches|match|against|to) (?:the|my|this) {ways.TECHNICAL}",
    ),
    _sign(
        "the prompt says",
        f"(?:the|my|this|its) (?:prompt|task|user|dataset|brief|instructions?|request|system|file|metadata|reference"
        f"|label|key) {w.SAYS}",
    ),
    # he speaks of himself, and not of what he sees
    _sign("I beside seeing", ways.SELF, any_words=True),
    _sign("me at all", r"(?<!let\s)(?<!lets\s)(?<!tell\s)(?<!tells\s)(?:me|myself|mine)", any_words=True),
    _sign("my", "my(?! (?:guess|impression|reading|count|rough|first))", any_words=True),
    _sign("had been", r"(?:had|has|have|'ve|having) (?:already |just |only )?been", any_words=True),
    _sign("it was", r"(?:I|we|it|they|that|which) (?:was|were|had)", any_words=True),
    _sign(
        "this clip",
        "this (?:clip|video|one|question|item|exercise|way|writer|thought|reasoning|answer|reply|must|time|here)|for this"
        "|with this",
        any_words=True,
    ),
    _sign("what is", "(?:that's|is|as|which is|just|precisely) what|what(?:'s| is| was)", any_words=True),
    _sign("is gold", f"(?:that|it's|it is|it was|is|be|being|says?|said|called|names?|as|reads) (?:the |an? )?{w.TRUTH}"),
    _sign("gold first", rf"^[^a-z\ua500-\ua507]*(?:the |an? )?{w.TRUTH}"),
    _sign("so gold", f"(?:since|because|so|as|therefore|hence|though|but|yet|however|and|or)~{w.TRUTH}"),
    _sign("blurred", r"(?:could|can|might|may|maybe|perhaps|or|can't|cannot|hidden|blur\w*|smear\w*|unclear|hard to)"),
    _sign("figure of speech", ways.FIGURES, any_words=True),
    _sign("in my hands", ways.INSIDE, any_words=True),
    # other options
    _sign(
        "verifies",
        "verify|verified|check|checking|candidates?|impression|my guess|rough|remains open|to be (?:seen|watched|checked"
        "|confirmed)",
        any_words=True,
    ),
    _sign("seen", ways.SEEN, any_words=True),
    _sign("rival", f"{w.RIVAL}+"),
    _sign("gold or", f"{w.TRUTH}~or|or~{w.TRUTH}"),
    _sign("rival yet gold", f"{w.RIVAL}+~~{ways.CONTRARY}~~{w.TRUTH}"),
    # no leak
    _sign(
        "thing told",
        rf"(?:the|a|an|his|her|their) (?!{_OUTSIDE})\w+ {_WAS} {w.ADVERBS}{w.TOLD}",
        any_words=True,
    ),
    _sign(
        "question asks",
        "(?:the )?question(?:'s)? (?:asks|is|says|names|wants|mentions|presupposes|words|speaks|concerns|allows|only)",
        any_words=True,
    ),
    _sign("reads quote", r"(?:reads?|says?|shows?|spells?|listed|written|printed)(?=\s*[:,]?\s*[\"'\ua505])", any_words=True),
    _sign("in the video", w.IN_VIDEO, any_words=True),
    _sign("frames", w.FRAMES, any_words=True),
    _sign("hedges", w.HEDGES, any_words=True),
    _sign("as expected", r"as (?:\w+ ){0,3}(?:expected|supposed|suspected|thought|guessed|seemed|seen|shown)", any_words=True),
    _sign("seeks", w.SEEKS, any_words=True),
    _sign("so", "so|thus|therefore|hence|now|must be|has to be", any_words=True),
)
