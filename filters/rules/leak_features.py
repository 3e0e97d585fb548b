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


def features(text: str, signs: Iterable[LeakSign], known_names: Set[str] | None = None) -> frozenset[str]:
    """The features of a blanked text with these signs; if there are `known_names`, these alone, which saves making others."""
    token_names = [(_base(text_token), *_classes(text_token)) for text_token in _tokens(text)]
    if known_names is not None:
        token_names = [
            tuple(feature_name for feature_name in feature_names if feature_name in known_names)
            for feature_names in token_names
        ]
    sign_names = (f"sign {sign.name}" for sign in signs)
    return frozenset(
        (
            *(feature_name for feature_names in token_names for feature_name in feature_names),
            *_neighbours(token_names),
            *_distant(token_names),
            *sign_names,
        )
    )


def signs_in(text: str, plain_text: str, among: Iterable[LeakSign] = SIGNS) -> list[LeakSign]:
    """The signs that a blanked text has; `plain_text` is the same text with the words of the question."""
    return [sign for sign in among if sign.pattern.search(plain_text if sign.any_words else text)]


def _neighbours(token_names: list[tuple[str, ...]]) -> Iterator[str]:
    for left_names, right_names in zip((BEGINNING, *token_names), (*token_names, END), strict=True):
        yield from (f"{left_name} {right_name}" for left_name in left_names for right_name in right_names)


def _distant(token_names: list[tuple[str, ...]]) -> Iterator[str]:
    bearing_names = [[feature_name for feature_name in feature_names if _bears(feature_name)] for feature_names in token_names]
    for token_index, left_names in enumerate(bearing_names):
        for right_names in bearing_names[token_index + 2 : token_index + 1 + REACH] if left_names else ():
            for left_name in left_names:
                yield from (
                    f"{left_name} ~ {right_name}"
                    for right_name in right_names
                    if _is_meaning(left_name) or _is_meaning(right_name)
                )


def _bears(feature_name: str) -> bool:
    return feature_name in FUNCTION_WORDS or _is_meaning(feature_name)


def _is_meaning(feature_name: str) -> bool:
    """A class or a symbol."""
    return feature_name[0] == "{" or feature_name.isupper()


def _tokens(text: str) -> Iterator[str]:
    for token_match in TOKEN.finditer(text):
        first_character = token_match.group()[0]
        yield SYMBOLS.get(first_character) or (NUMBER if first_character in "0123456789_" else token_match.group())


def _base(token: str) -> str:
    return token if token[0] == "{" or token in FUNCTION_WORDS else stem(token)


@cache
def _class_words() -> dict[str, tuple[str, ...]]:
    """The classes of each word, and of each stem."""
    classes_by_word: dict[str, set[str]] = {}
    for class_line in files("dmforge.filters.rules").joinpath("leak_classes.tsv").read_text("utf-8").splitlines():
        class_name, _, class_words = class_line.partition("\t")
        for class_word in class_words.split():
            classes_by_word.setdefault(class_word, set()).add(class_name)
            classes_by_word.setdefault(stem(class_word), set()).add(class_name)
    return {word: tuple(sorted(class_names)) for word, class_names in classes_by_word.items()}


def _classes(token: str) -> tuple[str, ...]:
    if token[0] == "{":
        return (SYMBOL_CLASSES[token],) if token in SYMBOL_CLASSES else ()
    classes_by_word = _class_words()
    return classes_by_word.get(token) or (() if token in FUNCTION_WORDS else classes_by_word.get(stem(token), ()))


def stem(word: str) -> str:
    """A word without its ending, roughly: `supplied` and `supplies` are one."""
    word = word.removesuffix("'s")
    word = IRREGULAR.get(word, word)
    if len(word) <= 4:
        return word
    if not word.endswith("ss"):
        word_ending = next((ending for ending in ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
        word = word.removesuffix(word_ending)
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word
