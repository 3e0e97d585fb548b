"""Clips on their way to another process keep their times to the letter, and their names say all that is shown."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.clip_payload import ClipPayload, payload_from, payload_of
from dmforge.generators.inference.engines.remote_rows import bare
from dmforge.generators.student.token_layout import printed
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import plan_coarse
from dmforge.schemas.stamps import stamp
from dmforge.schemas.transcript import COARSE, Piece
from tests.student.students import QUESTION, Barcodes, look, shown, speck, transcript

STUDENT = speck()
COARSE_TIMES = st.builds(
    lambda duration_cs, frames: plan_coarse(Fraction(duration_cs, 100), Fraction(2), frames).times_s,
    st.integers(1, 3_600_000),
    st.integers(4, 256),
)
GRID_TIMES = (
    st.lists(st.integers(0, 432_000).map(lambda frame: Fraction(frame, 12)), min_size=1, max_size=9).map(sorted).map(tuple)
)


def clip(times_s: tuple[Fraction, ...]) -> ShownClip:
    return ShownClip(np.zeros((len(times_s), 32, 32, 3), np.uint8), times_s)


def as_an_engine_prints(parcel: ClipPayload) -> list[str]:
    """vLLM's arithmetic, and Hugging Face's: floats, the mean of two frames' times."""
    told = parcel.metadata
    times = [index / told["fps"] for index in told["frames_indices"]]
    return [f"<{(times[at] + times[at + 1]) / 2:.1f} seconds>" for at in range(0, len(times), 2)]


@given(COARSE_TIMES | GRID_TIMES)
def test_an_engine_prints_our_stamps_whatever_the_times(times_s: tuple[Fraction, ...]) -> None:
    shown = clip(times_s)
    assert as_an_engine_prints(payload_of(shown)) == [stamp(time_s) for time_s in shown.stamps_s]


def test_an_odd_last_frame_is_there_twice() -> None:
    frames = np.stack([np.full((32, 32, 3), shade, np.uint8) for shade in (1, 2, 3)])
    found = payload_of(ShownClip(frames, (Fraction(0), Fraction(1), Fraction(2)))).frames
    assert found[:, 0, 0, 0].tolist() == [1, 2, 3, 3]


def test_a_parcel_is_the_same_when_it_arrives() -> None:
    sent = payload_of(Barcodes().look(look(101, 345, 3)))
    found = payload_from(sent.to_bytes())
    assert found.name == sent.name
    assert np.array_equal(found.frames, sent.frames)
    assert found.metadata == sent.metadata


def test_a_name_says_pixels_sizes_and_times() -> None:
    first = payload_of(Barcodes().coarse())
    brighter = first.frames.copy()
    brighter[-1, -1, -1, -1] ^= 1
    others = [
        replace(first, frames=brighter),
        replace(first, frames=first.frames.transpose(0, 2, 1, 3)),
        replace(first, ticks=(*first.ticks[:-1], first.ticks[-1] + 1)),
        replace(first, ticks_a_second=first.ticks_a_second + 1),
    ]
    assert len({first.name, *(other.name for other in others)}) == 5
    assert payload_of(Barcodes().coarse()).name == first.name


def test_one_token_stands_for_each_clip() -> None:
    told = transcript(look(100, 300), look(500, 900, 1))
    vocabulary = STUDENT.vocabulary
    for stretch in STUDENT.layout.stretches(shown(told)):
        found = bare(stretch, STUDENT.layout)
        assert found.count(vocabulary.video_pad) == len(stretch.clips)
        clips = iter(stretch.clips)
        whole = [vocabulary.encode(printed(next(clips))) if one == vocabulary.video_pad else [one] for one in found]
        assert [token for tokens in whole for token in tokens] == stretch.ids.tolist()


def test_a_text_that_runs_into_a_stamp_is_refused() -> None:
    other = speck(1)
    other.vocabulary.tokenizer.add_tokens(["see<"])
    (stretch,) = other.layout.stretches(
        (PromptPiece(Piece("prompt", "see")), PromptPiece(COARSE, Barcodes().coarse()), PromptPiece(QUESTION))
    )
    with pytest.raises(InputError, match="runs into the stamp"):
        bare(stretch, other.layout)
