"""Questions of a workspace that are nearly the same: which pairs, and which groups hang together.

By words the rule is that of `duplicates` and `inspect`, `asks_the_same`, on texts that share a band of MinHash. By meaning,
where the stage `embed` has made vectors, two questions are near if their vectors are, and no fact differs. Of questions with
the same words each makes a pair with the first alone: a template about a thousand videos is a thousand pairs, not half a
million.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dmforge.curation.io.batching import batched
from dmforge.filters.near_duplicates import band_hashes, candidate_pairs
from dmforge.filters.question_facts import asks_the_same, facts, is_turned, wording_key
from dmforge.filters.selection.task_sampling import clustered
from dmforge.schemas.bit_mixing import mix_bits
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.likeness import HASHES, NEAR, is_near, likeness, shingles, signature

About = Literal["one video", "several videos"]
By = Literal["words", "meaning"]
SAME_MEANING = 0.96
"""From this cosine on two questions mean the same. docs/audit.md has what that finds, and what by mistake."""
MAX_MEANINGS = 30_000
"""So many wordings are compared by meaning across videos, each with each; of more only those about one video."""
BLOCK_ROWS = 1_000
PAIRS_AT_ONCE = 50_000
MIN_ESTIMATE = 0.42
"""Pairs whose signatures agree in less are not compared: of two that are .6 alike, two in a thousand agree in so little. Of
questions from one template it is nearly all that share a band."""
PAIRS = pa.schema([
    ("task", pa.binary(ID_BYTES)), ("other_task", pa.binary(ID_BYTES)), ("about", pa.string()), ("by", pa.string()),
    ("likeness", pa.float64()),
])  # fmt: skip
MEMBERS = pa.schema([("cluster", pa.binary(ID_BYTES)), ("task", pa.binary(ID_BYTES)), ("about", pa.string())])


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question, with the video that it is about, or the one that this is a copy of."""

    task: Id
    video: Id
    text: str


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two questions that are nearly the same."""

    first: int
    second: int
    about: About
    by: By
    likeness: float


class NearQuestions:
    """The near pairs among some questions, given in the order of their ids, with vectors of unit length where there are any."""

    def __init__(self, questions: Sequence[AskedQuestion], vectors: Mapping[Id, npt.NDArray[np.float32]]) -> None:
        self._questions = questions
        texts: dict[bytes, int] = {}
        self._texts: list[str] = []
        self._items: defaultdict[tuple[int, Id], list[int]] = defaultdict(list)
        """By wording and video, the questions."""
        self._vectors: dict[int, npt.NDArray[np.float32]] = {}
        for index, question in enumerate(questions):
            text = texts.setdefault(wording_key(question.text), len(self._texts))
            if text == len(self._texts):
                self._texts.append(question.text)
            self._items[text, question.video].append(index)
            if text not in self._vectors and question.task in vectors:
                self._vectors[text] = vectors[question.task]
        self._bands = band_hashes(self._texts)
        numbers: dict[str, int] = {}
        self._shingles = [
            frozenset(numbers.setdefault(shingle, len(numbers)) for shingle in shingles(text)) for text in self._texts
        ]
        self._signatures = np.array([signature(text) for text in self._texts], np.uint32).reshape(-1, HASHES)
        self.pairs = tuple(dict.fromkeys([*self._of_one_video(), *self._of_several_videos()]))

    def pair_table(self) -> pa.Table:
        """A row for each pair."""
        rows = [
            {
                "task": self._questions[pair.first].task, "other_task": self._questions[pair.second].task, "about": pair.about,
                "by": pair.by, "likeness": pair.likeness,
            }
            for pair in self.pairs
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, PAIRS)

    def member_table(self) -> pa.Table:
        """A row for each question of a group: what hangs together about one video, and about several."""
        rows: list[dict[str, object]] = []
        for about in ("one video", "several videos"):
            pairs = [
                (self._questions[pair.first].task, self._questions[pair.second].task)
                for pair in self.pairs
                if about == "several videos" or pair.about == about
            ]
            cluster_by_task = clustered({task for pair in pairs for task in pair}, pairs)
            videos: defaultdict[Id, set[Id]] = defaultdict(set)
            if about == "several videos":
                for question in self._questions:
                    if question.task in cluster_by_task:
                        videos[cluster_by_task[question.task]].add(question.video)
            rows.extend(
                {"cluster": cluster, "task": task, "about": about}
                for task, cluster in sorted(cluster_by_task.items())
                if about == "one video" or len(videos[cluster]) > 1
            )
        return pa.Table.from_pylist(rows, MEMBERS)

    def _of_one_video(self) -> Iterator[NearPair]:
        for indices in self._items.values():
            yield from (NearPair(indices[0], index, "one video", "words", 1.0) for index in indices[1:])
        items = list(self._items)
        video_numbers = {video: number for number, video in enumerate(dict.fromkeys(video for _, video in items), 1)}
        if not items:
            return
        texts = np.array([text for text, _ in items])
        videos = np.array([video_numbers[video] for _, video in items], np.uint64)
        # with the video in its bands a text meets only those about the same video
        bands = self._bands[:, texts] ^ mix_bits(videos)
        near = {
            (first, second)
            for first, second in self._likely(candidate_pairs(bands), texts)
            if items[first][1] == items[second][1] and self._is_near(items[first][0], items[second][0])
        }
        yield from (self._pair(items[first], items[second], "one video", "words") for first, second in sorted(near))
        by_video: defaultdict[Id, list[int]] = defaultdict(list)
        for text, video in items:
            if text in self._vectors:
                by_video[video].append(text)
        for video, video_texts in by_video.items():
            for first, second, cosine in self._same_meanings(video_texts):
                yield self._pair((first, video), (second, video), "one video", "meaning", cosine)

    def _of_several_videos(self) -> Iterator[NearPair]:
        by_text: defaultdict[int, list[tuple[int, Id]]] = defaultdict(list)
        for item in self._items:
            by_text[item[0]].append(item)
        for items in by_text.values():
            for item in items[1:]:
                yield NearPair(self._items[items[0]][0], self._items[item][0], "several videos", "words", 1.0)
        likely = self._likely(candidate_pairs(self._bands), np.arange(len(self._texts)))
        near = {(first, second) for first, second in likely if self._is_near(first, second)}
        for first, second in sorted(near):
            yield from self._across(by_text[first], by_text[second], "words", likeness(self._texts[first], self._texts[second]))
        if len(self._vectors) <= MAX_MEANINGS:
            for first, second, cosine in self._same_meanings(sorted(self._vectors)):
                yield from self._across(by_text[first], by_text[second], "meaning", cosine)

    def _across(
        self, items: Sequence[tuple[int, Id]], others: Sequence[tuple[int, Id]], by: By, alike: float
    ) -> Iterator[NearPair]:
        """A pair of questions with these wordings about two videos, if there is one: it joins all that have the wordings."""
        for item, other in ((items[0], others[0]), (items[0], others[-1]), (items[-1], others[0])):
            if item[1] != other[1]:
                yield self._pair(item, other, "several videos", by, alike)
                return

    def _pair(self, item: tuple[int, Id], other: tuple[int, Id], about: About, by: By, alike: float | None = None) -> NearPair:
        first, second = sorted((self._items[item][0], self._items[other][0]))
        if alike is None:
            alike = likeness(self._texts[item[0]], self._texts[other[0]])
        return NearPair(first, second, about, by, alike)

    def _likely(self, pairs: Iterator[tuple[int, int]], texts: npt.NDArray[np.intp]) -> Iterator[tuple[int, int]]:
        """The pairs whose signatures agree in enough; `texts` says which wording an index means."""
        for chunk in batched(pairs, PAIRS_AT_ONCE):
            indices = texts[np.array(chunk, np.intp)]
            agreement = (self._signatures[indices[:, 0]] == self._signatures[indices[:, 1]]).mean(axis=1)
            yield from (pair for pair, share in zip(chunk, agreement.tolist(), strict=True) if share >= MIN_ESTIMATE)

    def _is_near(self, first: int, second: int) -> bool:
        shingles_here, shingles_there = self._shingles[first], self._shingles[second]
        if len(shingles_here & shingles_there) < NEAR * len(shingles_here | shingles_there):
            return False  # as nearly always, and no text is read again
        return asks_the_same(self._texts[first], self._texts[second])

    def _same_meanings(self, texts: Sequence[int]) -> Iterator[tuple[int, int, float]]:
        """Pairs of wordings whose vectors are near and whose facts are the same, but for those that are near by words."""
        if len(texts) < 2:
            return
        matrix = np.stack([self._vectors[text] for text in texts])
        for begin in range(0, len(texts), BLOCK_ROWS):
            cosines = matrix[begin : begin + BLOCK_ROWS] @ matrix[begin:].T
            rows, columns = np.nonzero(cosines >= SAME_MEANING)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                first, second = texts[begin + row], texts[begin + column]
                if row < column and self._means_the_same(first, second):
                    yield first, second, float(cosines[row, column])

    def _means_the_same(self, first: int, second: int) -> bool:
        text, other_text = self._texts[first], self._texts[second]
        return means_the_same(text, other_text) and not is_near(text, other_text)


def means_the_same(text: str, other_text: str) -> bool:
    """Whether nothing that decides what is asked speaks against it; their vectors must be near as well."""
    return facts(text) == facts(other_text) and not is_turned(text, other_text)
