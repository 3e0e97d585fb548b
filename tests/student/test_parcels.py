"""Clips on their way to another process keep their times to the letter, and their names say all that is shown."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.error import FFmpegError
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.clip_payload import ClipPayload, payload_of
from dmforge.generators.inference.engines.remote_rows import bare
from dmforge.generators.student.token_layout import printed
from dmforge.generators.video_part import from_video, to_video
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


@given(COARSE_TIMES | GRID_TIMES)
def test_a_video_part_is_the_same_when_it_arrives(times_s: tuple[Fraction, ...]) -> None:
    jpegs = [b"\xff\xd8" + bytes([index % 256]) * (index + 1) + b"\n" for index in range(len(times_s))]
    frame_ticks, arrived = from_video(to_video(times_s, jpegs))
    assert arrived == jpegs + jpegs[-1:] * (len(jpegs) % 2)
    assert frame_ticks.metadata == payload_of(clip(times_s)).metadata


def test_ffmpeg_finds_no_video_in_it() -> None:
    """A server that reads videos by ffmpeg must refuse it: it would show these frames under other stamps."""
    frames = np.stack([Barcodes().coarse().frames[at % 4] for at in range(90)])
    video = to_video(tuple(Fraction(at) for at in range(90)), to_jpeg(frames))
    try:
        with av.open(io.BytesIO(video)) as container:
            assert not container.streams.video
    except FFmpegError:
        pass


@pytest.mark.parametrize("other", [
    b"", b"\n", b"{}\n", b"[1]\n", b"\x00\x00\x00 ftypisom\n", b'{"ticks": [0, 0], "ticks_a_second": 1, "lengths": [1, 1]}\nx',
    b'{"ticks": [0, 0], "ticks_a_second": 0, "lengths": [1, 1]}\nxy', b'{"ticks": [0], "ticks_a_second": 1, "lengths": [1]}\nx',
    b'{"ticks": [], "ticks_a_second": 1, "lengths": []}\n', b'{"ticks": [0, 0], "ticks_a_second": 1, "lengths": [3, -1]}\nxy',
])  # fmt: skip
def test_bytes_of_others_are_no_video_part(other: bytes) -> None:
    with pytest.raises(ValueError, match="no clip of dmforge's"):
        from_video(other)


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
