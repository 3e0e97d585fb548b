"""The features of a sentence that a leak is told by: its words, classes of words, pairs of both, and signs.

A class (`leak_classes.tsv`) gathers words of one meaning, so that a word that no example has counts like its kindred. A pair is
either of neighbours, or of words up to five apart of which one stands for a meaning: a class, the answer, its window.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from functools import cache
from importlib.resources import files

from dmforge.filters.rules.leak_signs import SIGNS, LeakSign
from dmforge.filters.rules.leak_words import BOUND, GOLD, LETTER, PAIR, QUOTE, RIVAL, SCENE

SYMBOLS = {
    GOLD: "{answer}", LETTER: "{letter}", PAIR: "{window}", BOUND: "{bound}", SCENE: "{question}", QUOTE: "{quote}",
    RIVAL: "{rival}",
}  # fmt: skip
"""The names of runs of what `leak_blanks.py` writes over a text."""
SYMBOL_CLASSES = {"{answer}": "TRUE", "{letter}": "TRUE", "{window}": "TIME", "{bound}": "TIME"}
NUMBER = "{number}"
TOKEN = re.compile(rf"([{''.join(SYMBOLS)}])\1*|[a-z]+(?:'[a-z]+)?|[0-9_]+|[:=,()\u2014\"!?]|\.\.\.")
FUNCTION_WORDS = {
    "i", "me", "my", "we", "us", "our", "you", "your", "they", "them", "it", "its", "he", "she", "his", "her", "him", "the",
    "a", "an", "of", "to", "in", "on", "at", "by", "with", "for", "from", "and", "or", "but", "so", "as", "is", "was", "were",
    "are", "be", "been", "being", "has", "have", "had", "do", "does", "did", "not", "no", "that", "this", "these", "those",
    "there", "which", "what", "who", "where", "when", "why", "how", "if", "than", "then",
}  # fmt: skip
"""Taken as they stand, and paired at a distance: they bear the structure of a sentence."""
IRREGULAR = {
    "told": "tell", "gave": "give", "given": "give", "knew": "know", "known": "know", "said": "say", "fed": "feed",
    "sent": "send", "got": "get", "gotten": "get", "held": "hold", "kept": "keep", "wrote": "write", "written": "write",
    "chose": "choose", "chosen": "choose", "began": "begin", "came": "come", "hid": "hide", "hidden": "hide", "meant": "mean",
    "sought": "seek", "shown": "show", "led": "lead", "laid": "lay", "taught": "teach", "heard": "hear", "learnt": "learn",
    "spelt": "spell", "bore": "bear", "borne": "bear", "foretold": "foretell", "stuck": "stick", "took": "take",
    "taken": "take", "went": "go", "gone": "go", "saw": "see", "seen": "see", "found": "find", "thought": "think",
    "lent": "lend", "dealt": "deal",
}  # fmt: skip
ENDINGS = ("ying", "ies", "ied", "ing", "ed", "es", "s", "e", "y")
REACH = 5
"""The largest distance of the words of a pair."""
BEGINNING, END = ("^",), ("$",)
"""Stand before the first word and behind the last."""


def features(text: str, signs: Iterable[LeakSign], known: Set[str] | None = None) -> frozenset[str]:
    """The features of a blanked text with these signs; if names are `known`, of these alone, which saves making others."""
    tokens = [(_base(token), *_classes(token)) for token in _tokens(text)]
    if known is not None:
        tokens = [tuple(name for name in names if name in known) for names in tokens]
    sign_names = (f"sign {sign.name}" for sign in signs)
    return frozenset((*(name for names in tokens for name in names), *_neighbours(tokens), *_distant(tokens), *sign_names))


def signs_in(text: str, plain: str, among: Iterable[LeakSign] = SIGNS) -> list[LeakSign]:
    """The signs that a blanked text has; `plain` is the same text with the words of the question."""
    return [sign for sign in among if sign.pattern.search(plain if sign.any_words else text)]


def _neighbours(tokens: list[tuple[str, ...]]) -> Iterator[str]:
    for left_names, right_names in zip((BEGINNING, *tokens), (*tokens, END), strict=True):
        yield from (f"{left} {right}" for left in left_names for right in right_names)


def _distant(tokens: list[tuple[str, ...]]) -> Iterator[str]:
    bearing = [[name for name in names if _bears(name)] for names in tokens]
    for index, left_names in enumerate(bearing):
        for right_names in bearing[index + 2 : index + 1 + REACH] if left_names else ():
            for left in left_names:
                yield from (f"{left} ~ {right}" for right in right_names if _is_meaning(left) or _is_meaning(right))


def _bears(name: str) -> bool:
    return name in FUNCTION_WORDS or _is_meaning(name)


def _is_meaning(name: str) -> bool:
    """A class or a symbol."""
    return name[0] == "{" or name.isupper()


def _tokens(text: str) -> Iterator[str]:
    for token in TOKEN.finditer(text):
        first = token.group()[0]
        yield SYMBOLS.get(first) or (NUMBER if first in "0123456789_" else token.group())


def _base(token: str) -> str:
    return token if token[0] == "{" or token in FUNCTION_WORDS else stem(token)


@cache
def _class_words() -> dict[str, tuple[str, ...]]:
    """The classes of each word, and of each stem."""
    classes: dict[str, set[str]] = {}
    for line in files("dmforge.filters.rules").joinpath("leak_classes.tsv").read_text("utf-8").splitlines():
        name, _, words = line.partition("\t")
        for word in words.split():
            classes.setdefault(word, set()).add(name)
            classes.setdefault(stem(word), set()).add(name)
    return {word: tuple(sorted(names)) for word, names in classes.items()}


def _classes(token: str) -> tuple[str, ...]:
    if token[0] == "{":
        return (SYMBOL_CLASSES[token],) if token in SYMBOL_CLASSES else ()
    classes = _class_words()
    return classes.get(token) or (() if token in FUNCTION_WORDS else classes.get(stem(token), ()))


def stem(word: str) -> str:
    """A word without its ending, roughly: `supplied` and `supplies` are one."""
    word = word.removesuffix("'s")
    word = IRREGULAR.get(word, word)
    if len(word) <= 4:
        return word
    if not word.endswith("ss"):
        ending = next((ending for ending in ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
        word = word.removesuffix(ending)
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word
