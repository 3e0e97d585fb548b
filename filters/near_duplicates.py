"""Counts of near-duplicates among very many texts, without comparing every pair or keeping any pair.

Texts with the same shingles are counted without any comparison: templates say one thing a thousand times. Others are compared
where they share a band of MinHash. A text takes a few hundred bytes, however many are like it.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dmforge.schemas.likeness import HASHES, ROWS, bands, is_near, shingles, signature

COMMON = 200
"""The most texts that one is compared with in a band: without a limit, the time would be quadratic in a common phrase. It is
paired with as many as follow it; the count is then a lower bound, but still large, so a common text never looks rare."""


class NearDuplicates:
    """For each of many texts, how many are nearly the same: a template with another number in it is the same template."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._index_by_key: dict[bytes, int] = {}
        representatives, count_by_text = list[str](), array("q")
        for text in texts:
            text_index = self._index_by_key.setdefault(shingle_key(text), len(representatives))
            if text_index == len(representatives):
                representatives.append(text)
                count_by_text.append(0)
            representatives[text_index] = min(representatives[text_index], text)  # the same one, whichever came first
            count_by_text[text_index] += 1
        self._near_counts = array("q", count_by_text)
        sorted_indices = sorted(range(len(representatives)), key=representatives.__getitem__)
        band_table = band_hashes([representatives[text_index] for text_index in sorted_indices])
        for first_rank, second_rank in candidate_pairs(band_table):
            first_index, second_index = sorted_indices[first_rank], sorted_indices[second_rank]
            if is_near(representatives[first_index], representatives[second_index]):
                self._near_counts[first_index] += count_by_text[second_index]
                self._near_counts[second_index] += count_by_text[first_index]

    def near_count(self, text: str) -> int:
        """The number of texts near this one, itself included; it must be one of those given."""
        return self._near_counts[self._index_by_key[shingle_key(text)]]


def shingle_key(text: str) -> bytes:
    """A key that texts with the same shingles share."""
    shingle_text = "\0".join(sorted(shingles(text)))
    return hashlib.blake2b(shingle_text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def band_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The hashes of the bands of each text, a row a band: near texts nearly always share one."""
    band_hash_table = np.empty((HASHES // ROWS, len(texts)), np.uint64)
    for text_number, text in enumerate(texts):
        band_hash_table[:, text_number] = [_band_hash(signature_band) for signature_band in bands(signature(text))]
    return band_hash_table


def candidate_pairs(band_hash_table: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs of text indices that share a band, each pair once, band after band."""
    rank_table = np.empty(band_hash_table.shape, np.int32)  # of each text, among those with the same band hash
    sorted_positions = np.arange(band_hash_table.shape[1])
    for band_index, band_hashes in enumerate(band_hash_table):
        sorted_order = np.argsort(band_hashes, kind="stable")
        sorted_hashes = band_hashes[sorted_order]
        rank_table[band_index, sorted_order] = sorted_positions - np.searchsorted(sorted_hashes, sorted_hashes, "left")
        equal_run_ends = np.minimum(np.searchsorted(sorted_hashes, sorted_hashes, "right"), sorted_positions + 1 + COMMON)
        for sorted_position, equal_run_end in enumerate(equal_run_ends.tolist()):
            if equal_run_end - sorted_position > 1:
                text_index, equal_indices = sorted_order[sorted_position], sorted_order[sorted_position + 1 : equal_run_end]
                # a pair that shares an earlier band was yielded there
                same_band = band_hash_table[:band_index, equal_indices] == band_hash_table[:band_index, text_index, None]
                already_paired = same_band & (
                    rank_table[:band_index, equal_indices] - rank_table[:band_index, text_index, None] <= COMMON
                )
                for equal_index in equal_indices[~already_paired.any(axis=0)].tolist():
                    yield int(text_index), equal_index


def _band_hash(band: bytes) -> int:
    """A 64-bit hash of a band; a collision only costs a needless comparison."""
    return int.from_bytes(hashlib.blake2b(band, digest_size=8).digest(), "big")
