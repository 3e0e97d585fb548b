"""What two questions may not differ in if they are to ask for the same: numbers, colours, negation, order, sides.

`is_near` lets one question say more than the other, and a sentence model finds `before it rains` and `after it rains` all but
equal. For neither is a word that turns the answer around more than a word.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from dmforge.filters.near_duplicates import shingle_key
from dmforge.schemas.likeness import MAX_CHARS, is_near, words

_CLASSES: Final = tuple(
    frozenset(names.split())
    for names in (
        "zero one two three four five six seven eight nine ten eleven twelve once twice thrice",
        "red green blue yellow white black orange purple pink brown grey gray",
        "not no nobody nothing never none nor neither without cannot",
        "before after until",
        "first second third fourth last final next previous",
        "left right",
    )
)
"""Each holds words of which one in place of another, or of none, makes another question."""
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_NOT: Final = re.compile(r"n['\u2019]t\b")


def facts(text: str) -> tuple[tuple[str, ...], ...]:
    """The words of a text that decide what is asked, by their class, and its digits."""
    plain = _NOT.sub(" not", unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold())
    found_words = _WORD.findall(plain)
    named = (tuple(sorted(word for word in found_words if word in words_of_class)) for words_of_class in _CLASSES)
    return (*named, tuple(sorted(word for word in found_words if word.isdigit())))


def asks_the_same(text_a: str, text_b: str) -> bool:
    """Whether two questions are nearly the same, and no fact differs: the one rule by words of all that look for duplicates."""
    return is_near(text_a, text_b) and facts(text_a) == facts(text_b)


def wording_key(text: str) -> bytes:
    """A key that questions with the same shingles and the same facts share: they need not be compared."""
    return shingle_key(text) + repr(facts(text)).encode("utf-8", "surrogatepass")


def is_turned(text_a: str, text_b: str) -> bool:
    """Whether two texts say the same words in another order, and neither is a passive: who does it to whom is another thing."""
    return (
        words(text_a) != words(text_b)
        and sorted(words(text_a)) == sorted(words(text_b))
        and (" by " in text_a.casefold()) == (" by " in text_b.casefold())
    )
