"""Measures each question's density and labels on the rendered file; they must be what the script says."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from dmforge.generators.synthetic.worlds.exact_question import (
    WorldQuestion,
    coarse_frames,
    density_of_each_look,
    lowest_density,
    places_needed,
)
from dmforge.generators.synthetic.worlds.rasterize import Picture, read_timecode
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.sight import Cells, WorldEye, cells
from dmforge.schemas.errors import DmforgeError


@dataclass(frozen=True, slots=True)
class MeasuredQuestion:
    """What it takes to see the answer, measured in the pixels."""

    lowest_fps: Fraction | None
    """None: no video is needed."""
    from_coarse: bool
    places: int | None = None
    """At how many places one must look, in worlds with two."""
    look_fps: tuple[Fraction | None, ...] = ()
    """In worlds with two places, the lowest density of each look that is needed."""


def measure(script: Script, asked_questions: tuple[WorldQuestion, ...], video_bytes: bytes) -> tuple[MeasuredQuestion, ...]:
    """Measure each question on a rendered file. A contradiction to the script is a bug."""
    decoded_frames = _decode(video_bytes)
    if [read_timecode(decoded_frame) for decoded_frame in decoded_frames] != list(range(script.frames)):
        raise DmforgeError(f"world {script.seed} is not rendered frame by frame", hint="please report this")
    _, picture_height, picture_width, _ = decoded_frames.shape
    world_eye, seen_cells = WorldEye(script, picture_width, picture_height), cells(decoded_frames)
    return tuple(_measure_question(script, world_question, world_eye, seen_cells) for world_question in asked_questions)


def _measure_question(script: Script, question: WorldQuestion, world_eye: WorldEye, seen_cells: Cells) -> MeasuredQuestion:
    rival_scripts = tuple(rival_script for _, rival_script in question.rivals)

    def shows(frame_indices: frozenset[int]) -> bool:
        return world_eye.tells_all(rival_scripts, {frame_index: seen_cells[frame_index] for frame_index in frame_indices})

    if question.from_text:
        return MeasuredQuestion(None, False)
    measured_question = MeasuredQuestion(
        lowest_density(script, question.look_windows, shows),
        shows(coarse_frames(script)),
        None if question.places is None else places_needed(script, question, shows),
        density_of_each_look(script, question, shows),
    )
    if measured_question != _scripted(script, question):
        raise DmforgeError(
            f"world {script.seed} does not show what its script says: {question.text}", hint="please report this"
        )
    return measured_question


def _scripted(script: Script, question: WorldQuestion) -> MeasuredQuestion:
    """What the measurement must find, by the script."""
    look_fps = density_of_each_look(script, question, lambda frame_indices: question.told_by(script, frame_indices))
    return MeasuredQuestion(question.lowest_fps(script), question.from_coarse(script), question.places, look_fps)


def _decode(video_bytes: bytes) -> Picture:
    to_rgb = VideoReformatter()  # shared by all frames: setting it up takes longer than its work
    with av.open(io.BytesIO(video_bytes), "r") as container:
        rgb_frames = [to_rgb.reformat(rgb_frame, format="rgb24") for rgb_frame in container.decode(video=0)]
    return np.stack([np.asarray(rgb_frame.to_ndarray(), np.uint8) for rgb_frame in rgb_frames])
