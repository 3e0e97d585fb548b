"""Clips that were written out become one placeholder each again, whatever stands around and between them."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.generators.look_tool.unexpanded_clips import VideoTokens, unexpanded
from dmforge.schemas.errors import InputError

TOKENS = VideoTokens(1, 2, 3)
words = st.lists(st.integers(4, 9), max_size=5)
patch = st.tuples(words.filter(bool), st.integers(1, 6)).map(lambda told: [*told[0], 1, *[2] * told[1], 3])
clips = st.lists(patch, min_size=1, max_size=4)


@given(st.lists(st.tuples(words, clips), max_size=4), words)
def test_each_clip_is_one_placeholder_between_its_markers(
    clips_behind_words: list[tuple[list[int], list[list[int]]]], end: list[int]
) -> None:
    written_out = [[*before, 1, *chain(*patches), 3] for before, patches in clips_behind_words]
    as_placeholders = [[*before, 1, 2, 3] for before, _ in clips_behind_words]
    counts = [len(patches) for _, patches in clips_behind_words]
    assert unexpanded([*chain(*written_out), *end], counts, TOKENS) == [*chain(*as_placeholders), *end]


@pytest.mark.parametrize(
    ("ids", "counts"),
    [
        ([1, 5, 1, 2, 3, 3], [2]),  # fewer patches than the clip has
        ([1, 5, 1, 2, 3, 3], []),
        ([5, 1, 2, 3], [1]),  # no markers around it
        ([1, 5, 1, 2, 3, 4], [1]),
        ([1, 5, 1, 2, 3, 6, 1, 2, 3, 3], [1, 1]),  # one clip, taken for two
    ],
)
def test_what_isnt_written_so_is_refused(ids: list[int], counts: list[int]) -> None:
    with pytest.raises(InputError, match="prompt_ids"):
        unexpanded(ids, counts, TOKENS)
