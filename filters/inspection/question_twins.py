"""Questions of a set that are nearly the same: about one video, in files of other splits, and as a template for many videos.

Of each row a few numbers are kept, and of texts with the same words one; nothing is compared that shares no band of MinHash.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict

import numpy as np
import numpy.typing as npt

from dmforge.curation.sources.task_checks import CheckedTask
from dmforge.curation.sources.video_names import parse
from dmforge.filters.inspection.set_findings import SetTally
from dmforge.filters.near_duplicates import band_hashes, candidate_pairs
from dmforge.filters.question_facts import asks_the_same, wording_key
from dmforge.schemas.bit_mixing import mix_bits
from dmforge.schemas.likeness import is_near

SPLITS = ("", "train", "validation", "test")
"""From what is trained on to what is tested on: of a question in two of them the earlier split's is at fault."""


class QuestionTwins:
    """The questions of a set, as they come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._text_by_key: dict[bytes, int] = {}
        self._video_by_name: dict[str, int] = {}
        self._rows, self._text_of, self._video_of, self._split_of = array("q"), array("q"), array("q"), array("b")
        self._answers = array("Q")

    def add(self, row: int, video: str, task: CheckedTask, split: str) -> None:
        """A question about a video."""
        key = wording_key(task.question)
        text_number = self._text_by_key.setdefault(key, len(self._texts))
        if text_number == len(self._texts):
            self._texts.append(task.question)
        # a part of a video is another video: what is asked about it has another answer
        name = parse(video)
        video_number = self._video_by_name.setdefault(f"{name.id} {name.part or ''}", len(self._video_by_name))
        self._rows.append(row)
        self._text_of.append(text_number)
        self._video_of.append(video_number)
        self._split_of.append(SPLITS.index(split))
        self._answers.append(_answer_hash(task))

    def report(self, tally: SetTally) -> None:
        """The findings about questions that are nearly the same."""
        if not self._rows:
            return
        band_table = band_hashes(self._texts)
        pairs, item_of = self._items(band_table)
        self._report_twins(tally, pairs, item_of)
        self._report_templates(tally, band_table)
        self._report_videos(tally)

    def _items(self, band_table: npt.NDArray[np.uint64]) -> tuple[dict[int, list[int]], npt.NDArray[np.intp]]:
        """Which texts about which videos there are: of each the others about its video that are near; and which each row is."""
        texts, videos = np.asarray(self._text_of), np.asarray(self._video_of)
        items, item_of = np.unique(videos * len(self._texts) + texts, return_inverse=True)
        item_texts, item_videos = items % len(self._texts), items // len(self._texts)
        # with the video in its bands a text meets only those about the same video
        bands_of_items = band_table[:, item_texts] ^ mix_bits(item_videos.astype(np.uint64) + np.uint64(1))
        near_items: defaultdict[int, list[int]] = defaultdict(list)
        for first, second in candidate_pairs(bands_of_items):
            is_same_video = item_videos[first] == item_videos[second]
            if is_same_video and asks_the_same(self._texts[item_texts[first]], self._texts[item_texts[second]]):
                near_items[first].append(second)
                near_items[second].append(first)
        return near_items, item_of

    def _report_twins(self, tally: SetTally, near_items: dict[int, list[int]], item_of: npt.NDArray[np.intp]) -> None:
        indices_by_item: defaultdict[int, list[int]] = defaultdict(list)
        for index, item in enumerate(item_of.tolist()):
            indices_by_item[item].append(index)
        for item, indices in indices_by_item.items():
            near_indices = sorted(
                other for near_item in (item, *near_items.get(item, ())) for other in indices_by_item[near_item]
            )
            if len(near_indices) > 1:
                self._report_group(tally, indices, near_indices)

    def _report_group(self, tally: SetTally, indices: list[int], near_indices: list[int]) -> None:
        """Rows with one text about one video, among all rows that are near them."""
        first_by_split: dict[int, int] = {}
        first_by_answer: dict[tuple[int, int], int] = {}
        for index in near_indices:
            first_by_split.setdefault(self._split_of[index], index)
            first_by_answer.setdefault((self._split_of[index], self._answers[index]), index)
        last_split = max(first_by_split)
        for index in indices:
            split = self._split_of[index]
            twin = first_by_answer[split, self._answers[index]]
            if twin < index:
                self._add(tally, "duplicate", index, twin)
            elif first_by_split[split] < index:
                self._add(tally, "other_answer", index, first_by_split[split])
            if split < last_split and last_split > 1:
                self._add(tally, "across_splits", index, first_by_split[last_split])

    def _report_templates(self, tally: SetTally, band_table: npt.NDArray[np.uint64]) -> None:
        """Texts that stand about several videos, or are near to one about another video."""
        first_videos: dict[int, int] = {}
        repeated = np.zeros(len(self._texts), bool)
        for text, video in zip(self._text_of, self._video_of, strict=True):
            repeated[text] |= first_videos.setdefault(text, video) != video
        for first, second in candidate_pairs(band_table):
            is_open = not (repeated[first] and repeated[second]) and first_videos[first] != first_videos[second]
            if is_open and is_near(self._texts[first], self._texts[second]):
                repeated[[first, second]] = True
        for index, text in enumerate(self._text_of):
            if repeated[text]:
                row = self._rows[index]
                tally.add("repeated_question", row, "", self._texts[text])

    def _report_videos(self, tally: SetTally) -> None:
        splits_by_video: defaultdict[int, set[int]] = defaultdict(set)
        for video, split in zip(self._video_of, self._split_of, strict=True):
            splits_by_video[video].add(split)
        names = list(self._video_by_name)
        for index, video in enumerate(self._video_of):
            if len(splits_by_video[video] - {0}) > 1:
                split_names = ", ".join(SPLITS[split] for split in sorted(splits_by_video[video] - {0}))
                tally.add("video_across_splits", self._rows[index], split_names, names[video].strip())

    def _add(self, tally: SetTally, check: str, index: int, twin: int) -> None:
        fault = f"{self._texts[self._text_of[index]]}: as in {tally.place(self._rows[twin])}"
        tally.add(check, self._rows[index], "", fault)


def _answer_hash(task: CheckedTask) -> int:
    """A number that questions with the same answer share: its text, and the windows that show it."""
    bounds_cs = [(window.start_cs, window.end_cs) for window in task.windows]
    answer_bytes = repr((task.answer.casefold(), bounds_cs)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(answer_bytes, digest_size=8).digest())
