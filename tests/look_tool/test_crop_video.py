"""The look as a tool: who calls it is shown, pixel by pixel, what a student is shown of the same look, or is told why not."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.exports import export
from dmforge.curation.exports.tool_task import read_tool_task
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.video.frame_preview import look_shot
from dmforge.generators.file_footage import FileFootage
from dmforge.generators.footage import ShownClip
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of, roll
from dmforge.generators.look_tool.call_arguments import read_arguments
from dmforge.generators.look_tool.clip_forms import image_parts, video_with_times
from dmforge.generators.look_tool.crop_video import LookSource, crop_video, tool_schema
from dmforge.generators.rendition_footage import GridRendition, footage_of
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.tool_dialect import CROP_VIDEO, TOOL, print_arguments
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from tests.foundation.test_dialects import grouped
from tests.support.barcodes import CASES, write
from tests.support.corpora import filmed

CASE = next(case for case in CASES if case.name == "a very long GOP")
LOOKS = (
    Look(Window(300, 550), Fraction(2)),
    Look(Window(1001, 1225), Fraction(5)),  # a density that doesn't divide the grid, a start between two of its times
    Look(Window(0, 1900), Fraction(1, 3)),
    Look(Window(1204, 1206), Fraction(2)),  # between two times of the grid: one frame, twice
    Look(Window(0, 2500), Fraction(12)),  # more frames than a look may have, and an end behind the video's
)
LIMITED = (replace(LOOKS[0], box=Box(100, 100, 600, 600)), replace(LOOKS[0], tokens=128))


class Watched:
    """Footage that keeps what was shown of it."""

    def __init__(self, footage: Any) -> None:
        self.footage, self.shown = footage, list[ShownClip]()

    def coarse(self) -> ShownClip:
        return self.footage.coarse()

    def look(self, look: Look) -> ShownClip:
        self.shown.append(self.footage.look(look))
        return self.shown[-1]


def called(source: LookSource, look: Look) -> ShownClip:
    return crop_video(source, json.loads(print_arguments(look)))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One video of 20 s whose frames say which they are."""
    said = TOOL.transcribe((COARSE, Piece("prompt", "What?")), Trajectory(("A.", "B."), LOOKS[:1], "it turns"))
    return Corpus(str(filmed(tmp_path_factory.mktemp("corpus"), CASE, LOOKS[0], transcripts=[said])))


@pytest.fixture(scope="module")
def exported(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> GridRendition:
    """The video of a task in an export to verl, as a tool is told of it."""
    folder = tmp_path_factory.mktemp("export") / "verl"
    export(corpus, "verl", folder)
    (row,) = pq.read_table(folder / "rl.parquet").to_pylist()
    return GridRendition(*read_tool_task(row["extra_info"]["tools_kwargs"]["crop_video"]["create_kwargs"], folder))


def test_a_tool_shows_pixel_by_pixel_what_a_rollout_shows_a_student(corpus: Corpus, exported: GridRendition) -> None:
    from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
    from dmforge.generators.student.tiny import make_tiny

    example = corpus[0]
    watched = Watched(footage_of(example, corpus.clips))
    student = make_tiny("speck", ["What?"], dialect="tool")
    prompt = prompt_of((COARSE, Piece("prompt", "What?")), watched)
    roll(TransformersEngine(student), [RolloutRequest(prompt, watched, forced=look) for look in LOOKS])
    assert len(watched.shown) == len(LOOKS)
    for look, shown in zip(LOOKS, watched.shown, strict=True):
        clip = called(exported, look)
        assert clip.times_s == shown.times_s
        assert np.array_equal(clip.frames, shown.frames)
        numbers = [read_timecode(frame) for frame in clip.frames]
        assert numbers == [CASE.on_screen(time_s) for time_s in clip.times_s]


@pytest.mark.parametrize("look", [*LOOKS[1:2], *LOOKS[4:], *LIMITED], ids=lambda look: print_arguments(look))
def test_frames_of_any_file_are_those_of_their_times_at_the_sizes_of_training(look: Look, tmp_path: Path) -> None:
    path, clips = write(CASE, tmp_path), Clips(look_frames=24, look_tokens=300, look_size="floor")
    clip = called(FileFootage(path, clips), look)
    assert len(clip.times_s) <= 24
    assert clip.tokens <= min(look.tokens or 300, 300)
    if look.box is None:
        assert [read_timecode(frame) for frame in clip.frames] == [CASE.on_screen(time_s) for time_s in clip.times_s]
    if not look.has_limits:
        assert np.array_equal(called(FileFootage(path), look).frames, look_shot(path, "pyav", look).frames)


def test_a_box_of_a_file_is_that_part_of_its_picture(tmp_path: Path) -> None:
    path, boxed = write(CASE, tmp_path), replace(LOOKS[0], box=Box(0, 0, 450, 450))
    whole, part = called(FileFootage(path), LOOKS[0]).frames, called(FileFootage(path), boxed).frames
    height, width = part.shape[1:3]
    assert (height, width) < whole.shape[1:3]
    assert np.array_equal(part, whole[:, :height, :width])
    quota = called(FileFootage(path, Clips(look_tokens=64)), replace(boxed, tokens=32))
    assert quota.tokens <= 32


def test_a_file_without_a_window_is_its_overview(tmp_path: Path) -> None:
    overview = FileFootage(write(CASE, tmp_path), Clips(coarse_frames=8)).coarse()
    assert [read_timecode(frame) for frame in overview.frames] == [CASE.on_screen(time_s) for time_s in overview.times_s]
    assert len(overview.times_s) == 8


def test_a_student_is_told_of_the_function_in_the_words_that_sft_taught() -> None:
    assert json.dumps(tool_schema()) == CROP_VIDEO


@given(grouped().filter(lambda trajectory: bool(trajectory.looks)).map(lambda trajectory: trajectory.looks[0]))
def test_arguments_say_exactly_the_look(look: Look) -> None:
    assert read_arguments(json.loads(print_arguments(look))) == look


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
names = st.sampled_from(["start_time", "end_time", "fps", "box", "max_tokens", "Fps", ""])


@given(st.dictionaries(names, values))
def test_arguments_of_any_kind_are_a_look_or_are_refused(arguments: dict[str, object]) -> None:
    refusal = None
    try:
        read_arguments(arguments)
    except InputError as error:
        refusal = error
    assert refusal is None or (refusal.where.startswith("crop_video: ") and len(refusal.message) < 200)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"start_time": None}, "start_time: seconds from 0 .* not nothing"),
        ({"start_time": "3"}, "start_time: seconds from 0 .* not '3'"),
        ({"start_time": -1}, "start_time: seconds from 0 .* not -1"),
        ({"start_time": float("nan")}, "start_time: seconds from 0 .* not nan"),
        ({"start_time": 10**5000}, "start_time: seconds from 0 .* not a number so large"),
        ({"start_time": 3.125}, "start_time: seconds have at most two decimals, unlike 3.125"),
        ({"end_time": 3}, "end_time: the part ends at 3 s, and begins at 3 s"),
        ({"fps": 0}, "fps: frames per second above 0 are needed"),
        ({"fps": "2/0"}, "fps: frames per second above 0 are needed"),
        ({"fps": "9" * 500}, "fps: frames per second above 0 .* not '9{39}\\.\\.\\."),
        ({"fps": 1e-300}, "fps: no density"),
        ({"box": [0, 0, 10]}, "box: four whole numbers"),
        ({"box": "0 0 10 10"}, "box: four whole numbers"),
        ({"max_tokens": 1.5}, "max_tokens: a whole number is needed"),
        ({"video": "/etc/passwd"}, "video: there is no such argument"),
    ],
)
def test_what_is_no_look_is_refused_in_clear_words(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=f"crop_video: {reason}"):
        read_arguments({"start_time": 3, "end_time": 5.5, "fps": 2, **changed})


def test_a_look_behind_the_end_is_refused_with_the_end(exported: GridRendition, tmp_path: Path) -> None:
    path = write(CASE, tmp_path)
    for source in (exported, FileFootage(path)):
        with pytest.raises(InputError, match=re.escape("begins after the video ends at 20.00 s")):
            called(source, Look(Window(2100, 2200), Fraction(2)))
    with pytest.raises(InputError, match="not one for each of the 32 patches"):
        called(FileFootage(path), replace(LOOKS[0], tokens=3))


def test_files_that_are_no_videos_of_their_own_are_refused(tmp_path: Path) -> None:
    video = write(CASE, tmp_path)
    playlist, pipe = tmp_path / "list.m3u8", tmp_path / "pipe.mp4"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{video.name}\n")
    os.mkfifo(pipe)
    for path in (playlist, pipe, tmp_path / "missing.mp4"):
        with pytest.raises(InputError) as refused:
            called(FileFootage(path), LOOKS[0])
        assert str(path) in str(refused.value)


def test_a_trainer_that_takes_video_is_handed_the_times_and_one_that_takes_images_the_stamps(exported: GridRendition) -> None:
    clip = called(exported, LOOKS[0])
    frames, metadata = video_with_times(clip)
    even = ShownClip(clip.frames[:4], clip.times_s[:4])
    assert len(clip.frames) == 5
    assert np.array_equal(frames, clip.frames[[0, 1, 2, 3, 4, 4]])
    assert np.array_equal(video_with_times(even)[0], even.frames)
    stamps_s = [index / metadata["fps"] for index in metadata["frames_indices"]][::2]
    assert stamps_s == [float(stamp_s) for stamp_s in clip.stamps_s]
    parts = image_parts(clip)
    assert [part["text"] for part in parts[::2]] == [f"<{float(time_s):.1f} seconds>" for time_s in clip.times_s]
    assert np.array_equal([np.asarray(part["image"]) for part in parts[1::2]], clip.frames)


def test_a_row_of_an_older_export_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match="export the corpus again"):
        read_tool_task({"video": "videos/x.mp4", "duration_s": 20.0, "width": 64, "height": 64}, Path())
