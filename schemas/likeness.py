"""How alike two short texts are, by the words that carry them: exactly, and by signatures that can be compared in bulk.

Made for questions and queries of 5 to 20 words. There one word decides, so function words and endings are taken away first:
what is left is compared as a set of words and of neighbouring pairs. `the man opens a door`, `a man opening the door` are one;
`the door opens, the man comes` shares words with it and no pairs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from dmforge.schemas.bit_mixing import mix_bits

NEAR: Final = 0.6
"""From here on two texts are near where one only says more: a word in five, or the same words in another order."""
SURE: Final = 0.8
"""From here on also where each has a word that the other lacks: `when does it turn green`, `... blue` are .64 alike."""
MAX_CHARS: Final = 2_000
"""What stands beyond is not compared: NFKC takes quadratic time on long runs of combining marks."""
HASHES: Final = 64
"""Numbers in a signature: the share of equal ones estimates the exact likeness to within .06 (one standard deviation)."""
ROWS: Final = 4
"""Numbers in a band: of two texts that are .6 alike nine in ten share a band of sixteen, of .2 alike one in forty."""

_EMPTY: Final = (0,) * HASHES
_WORD: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile("([\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
"""Letters of scripts that write no blanks: each stands for a word."""
_APOSTROPHES: Final = re.compile("['\u2019](?:s\\b)?")
_SAME: Final = (
    (re.compile(r"\b(?:at )?(?:what|which) (?:time|moment|point)(?: in the (?:video|clip))?\b"), "when"),
    (re.compile(r"\b(?:what|which) (?:place|location)\b"), "where"),
    (re.compile(r"\bhow (?:many times|often)\b"), "howoften"),
    (re.compile(r"\bhow (many|much|long|far|old|fast)\b"), r"how\1"),
    (re.compile(r"\bwhat (?:is|was) the number of\b"), "howmany"),
    (re.compile(r"\b(?:what|which) (?:colour|color)\b"), "colour"),
    (re.compile(r"\bcolor"), "colour"),
    (re.compile(r"\b(?:right|straight) away\b"), ""),
    (re.compile(r"\b(?:right|directly|immediately|just|shortly) (before|after)\b"), r"\1"),
    (re.compile(r"\bnot\b|n['\u2019]t\b|\bcannot\b"), " not "),
)
"""What asks for the same, said as one word: `when` and `how many` tell questions apart that share all else."""
_FUNCTION: Final = frozenset(
    re.findall(
        r"\w+",
        """a an the this that these those there it its he she they i you we his her their him them is are was were be been being
        do does did done has have had having will would can could shall should may might must of in on at to for with by from
        into onto and or as what which then than so s t video clip scene shown seen show shows see""",
    )
)
_ENDINGS: Final = ("ing", "ies", "ed", "es", "s", "e", "y")


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """The content words of a text, in their order and without endings; all of its words where it has no content words."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold()
    for pattern, replacement in _SAME:
        text = pattern.sub(replacement, text)
    all_words: list[str] = _WORD.findall(_UNSPACED.sub(r" \1 ", _APOSTROPHES.sub("", text)))
    return tuple(_stem(text_word) for text_word in all_words if text_word not in _FUNCTION) or tuple(all_words)


@lru_cache(maxsize=4096)
def shingles(text: str) -> frozenset[str]:
    """The words of a text and its neighbouring pairs; of a text without any word the text itself."""
    text_words = words(text)
    word_pairs = (f"{word} {next_word}" for word, next_word in pairwise(text_words))
    return frozenset((*text_words, *word_pairs)) or frozenset({text.strip()} - {""})


def likeness(text_a: str, text_b: str) -> float:
    """Jaccard of the shingles, from 0 to 1: their intersection over their union. Two empty texts say the same."""
    shingles_a, shingles_b = shingles(text_a), shingles(text_b)
    if not shingles_a and not shingles_b:
        return 1.0
    return len(shingles_a & shingles_b) / len(shingles_a | shingles_b)


def is_near(text_a: str, text_b: str) -> bool:
    """Whether two texts ask or tell the same. A word in place of another makes them different, except in long texts."""
    text_likeness = likeness(text_a, text_b)
    if not NEAR <= text_likeness < SURE:
        return text_likeness >= SURE
    words_a, words_b = set(words(text_a)), set(words(text_b))
    return words_a <= words_b or words_b <= words_a


def signature(text: str) -> tuple[int, ...]:
    """MinHash: for each of `HASHES` orders of all shingles the one that comes first, as 32 bits. The same on every machine."""
    text_shingles = shingles(text)
    if not text_shingles:
        return _EMPTY
    hashes = np.array([_hash(shingle) for shingle in sorted(text_shingles)], np.uint64)
    return tuple((mix_bits(hashes[:, None] ^ _ORDERS[None, :]).min(axis=0) >> np.uint64(32)).tolist())


def estimated_likeness(signature_a: tuple[int, ...], signature_b: tuple[int, ...]) -> float:
    """The likeness of two texts, estimated from their signatures."""
    return sum(hash_a == hash_b for hash_a, hash_b in zip(signature_a, signature_b, strict=True)) / HASHES


def bands(text_signature: tuple[int, ...]) -> tuple[bytes, ...]:
    """Keys of which two near texts nearly always share one and others rarely do: only texts that share one need be compared."""
    hash_groups = (text_signature[group_start : group_start + ROWS] for group_start in range(0, HASHES, ROWS))
    return tuple(
        bytes([band_index]) + b"".join(min_hash.to_bytes(4, "big") for min_hash in hash_group)
        for band_index, hash_group in enumerate(hash_groups)
    )


def _stem(word: str) -> str:
    """A word without its ending, where at least three letters are left; `running` and `run` are one."""
    if word.endswith("ss"):
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


def _hash(shingle: str) -> int:
    return int.from_bytes(hashlib.blake2b(shingle.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


_ORDERS: Final = np.array([_hash(f"order {index}") for index in range(HASHES)], np.uint64)
