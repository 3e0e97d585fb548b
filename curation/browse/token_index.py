"""A search for letters in a million texts: an inverted index over what stands between spaces, in segments.

A text holds a word, one without spaces, exactly where something between two of its spaces does. So the index keeps those
tokens, each once a segment, with the texts that have it: looking through the tokens is looking through the texts, and a tenth
of the work or less. A segment has at most 65,536 texts, so a text is two bytes in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from typing import Any

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
SEGMENT_TEXTS = 1 << 16
MAX_RUNS = 2_000
"""Tokens that match in more runs than that are looked up all at once: one by one would take longer."""
WORKERS = 2
"""Segments that are made at once."""


@dataclass(frozen=True, slots=True)
class TextSegment:
    """Some texts: their numbers, their tokens, and for each token which of them have it."""

    numbers: Numbers
    tokens: pa.Array[Any]
    starts: npt.NDArray[np.int64]
    """Where the texts of each token begin in `postings`, and where the last ones end."""
    postings: npt.NDArray[np.uint16]

    def holding(self, word: str) -> Mask:
        """Which of the texts hold a word, in small letters."""
        matching: Mask = np.asarray(pc.match_substring(self.tokens, word), dtype=np.bool_)
        mask: Mask = np.zeros(len(self.numbers), np.bool_)
        edges = np.flatnonzero(np.diff(matching, prepend=False, append=False))
        if len(edges) > 2 * MAX_RUNS:
            mask[self.postings[np.repeat(matching, np.diff(self.starts))]] = True
            return mask
        for begin, end in zip(self.starts[edges[0::2]].tolist(), self.starts[edges[1::2]].tolist(), strict=True):
            mask[self.postings[begin:end]] = True
        return mask


def segment_of(numbers: Numbers, texts: pa.Array[Any]) -> TextSegment:
    """The segment of some texts, at most 65,536."""
    # no word that is looked for has a space of any kind, so tokens between the spaces of ASCII hold the same words
    lowered = pc.ascii_lower(texts) if pc.all(pc.string_is_ascii(texts)).as_py() else pc.utf8_lower(texts)
    split_texts = pc.ascii_split_whitespace(lowered)
    encoded_tokens = pc.list_flatten(split_texts).dictionary_encode()
    owners = np.asarray(pc.list_parent_indices(split_texts)).astype(np.uint64)
    # a token in the high bits, a text in the low ones: sorted, each pair once. `np.unique` takes thirty times as long
    pairs = np.asarray(encoded_tokens.indices).astype(np.uint64) << np.uint64(16) | owners
    pairs.sort()
    pairs = pairs[np.diff(pairs, prepend=~pairs[:1]) != 0]
    counts = np.bincount((pairs >> np.uint64(16)).astype(np.int64), minlength=len(encoded_tokens.dictionary))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return TextSegment(numbers, encoded_tokens.dictionary, starts, (pairs & np.uint64(0xFFFF)).astype(np.uint16))


class TokenIndex:
    """Texts by the letters that they hold. Texts have numbers from 0; those that were never added hold nothing."""

    def __init__(self, count: int) -> None:
        self._count, self._segments = count, list[TextSegment]()

    def holding(self, word: str) -> Mask:
        """Which texts hold a word without spaces, in capitals or not."""
        mask: Mask = np.zeros(self._count, np.bool_)
        for segment in self._segments:
            mask[segment.numbers[segment.holding(word.lower())]] = True
        return mask

    @property
    def size_bytes(self) -> int:
        """What the index takes in memory."""
        return sum(
            segment.postings.nbytes + segment.starts.nbytes + segment.numbers.nbytes + segment.tokens.nbytes
            for segment in self._segments
        )

    def fill(self, batches: Iterator[pa.RecordBatch]) -> Iterator[int]:
        """Add texts, given as columns of numbers and texts; yields how many there are by now, segment by segment."""
        added_count = 0
        pending = list[Future[TextSegment]]()
        with ThreadPoolExecutor(WORKERS) as pool:
            for table in _of_segment_size(batches):
                pending.append(pool.submit(segment_of, np.asarray(table.column(0)), table.column(1).combine_chunks()))
                if len(pending) > WORKERS:  # texts wait in memory: no more of them than are worked on
                    self._segments.append(pending.pop(0).result())
                    added_count += len(self._segments[-1].numbers)
                    yield added_count
            for segment in pending:
                self._segments.append(segment.result())
                added_count += len(self._segments[-1].numbers)
                yield added_count


def _of_segment_size(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of as many as a segment has."""
    buffered, buffered_rows = list[pa.RecordBatch](), 0
    for batch in batches:
        buffered.append(batch)
        buffered_rows += batch.num_rows
        while buffered_rows >= SEGMENT_TEXTS:
            table = pa.Table.from_batches(buffered)
            yield table.slice(0, SEGMENT_TEXTS)
            buffered = table.slice(SEGMENT_TEXTS).to_batches()
            buffered_rows -= SEGMENT_TEXTS
    if buffered_rows:
        yield pa.Table.from_batches(buffered)
