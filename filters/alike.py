"""How many of very many texts are nearly the same as this one? Found without comparing each with each, or keeping any pair.

What has the same shingles is counted without any comparison: templates say one thing a thousand times. Others are compared
where they share a band of MinHash. A text takes a few hundred bytes, however many are like it.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dmforge.schemas.likeness import HASHES, ROWS, bands, is_near, shingles, signature

COMMON = 200
"""The most that a text is compared with in a band, beyond which the time would be quadratic in a common phrase. It is paired
with so many that follow it: what is found is a part of what is near, so a common text never looks like a rare one."""


class Alike:
    """Texts, and how often each was said in other words."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._numbers: dict[bytes, int] = {}
        spoken, times = list[str](), array("q")
        for text in texts:
            number = self._numbers.setdefault(_key(text), len(spoken))
            if number == len(spoken):
                spoken.append(text)
                times.append(0)
            spoken[number] = min(spoken[number], text)  # whichever came first
            times[number] += 1
        self._near = array("q", times)
        order = sorted(range(len(spoken)), key=spoken.__getitem__)
        for one, other in _likely([spoken[number] for number in order]):
            first, second = order[one], order[other]
            if is_near(spoken[first], spoken[second]):
                self._near[first] += times[second]
                self._near[second] += times[first]

    def near(self, text: str) -> int:
        """How many of all are near one of them, itself among these."""
        return self._near[self._numbers[_key(text)]]


def _key(text: str) -> bytes:
    """The same for texts with the same shingles."""
    told = "\0".join(sorted(shingles(text)))
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _likely(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs that share a band, each pair once. Band after band, so that texts are compared next to those like them."""
    if not texts:
        return
    groups = np.empty((HASHES // ROWS, len(texts)), np.uint64)
    for number, text in enumerate(texts):
        groups[:, number] = [_number(band) for band in bands(signature(text))]
    places = np.empty(groups.shape, np.int32)  # of each text, among those of its group
    at = np.arange(len(texts))
    for nth, group in enumerate(groups):
        order = np.argsort(group, kind="stable")
        ordered = group[order]
        places[nth, order] = at - np.searchsorted(ordered, ordered, "left")
        ends = np.minimum(np.searchsorted(ordered, ordered, "right"), at + 1 + COMMON)
        for start, end in enumerate(ends.tolist()):
            if end - start > 1:
                one, others = order[start], order[start + 1 : end]
                # a pair that an earlier band has paired was given there
                same = groups[:nth, others] == groups[:nth, one, None]
                given = same & (places[:nth, others] - places[:nth, one, None] <= COMMON)
                for other in others[~given.any(axis=0)].tolist():
                    yield int(one), other


def _number(band: bytes) -> int:
    """Where two bands have one number, their texts are compared in vain, and no more."""
    return int.from_bytes(hashlib.blake2b(band, digest_size=8).digest(), "big")
