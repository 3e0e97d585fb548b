"""Measures each question's density and labels on the rendered file; they must be what the script says."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from dmforge.generators.synthetic.worlds.rasterize import Picture, read_timecode
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.sight import Cells, WorldEye, cells
from dmforge.generators.synthetic.worlds.world_questions import DENSITIES, WorldQuestion, coarse_frames
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import plan_look
from dmforge.schemas.looks import Look


@dataclass(frozen=True, slots=True)
class MeasuredQuestion:
    """What it takes to see the answer, measured in the pixels."""

    lowest_fps: Fraction | None
    """None: no video is needed."""
    from_coarse: bool


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
    look_plans = (plan_look(Look(question.look, fps), script.duration_s) for fps in DENSITIES)
    lowest_fps = next((frame_plan.requested_fps for frame_plan in look_plans if shows(frozenset(frame_plan.indices))), None)
    measured_question = MeasuredQuestion(lowest_fps, shows(coarse_frames(script)))
    if measured_question != MeasuredQuestion(question.lowest_fps(script), question.from_coarse(script)):
        raise DmforgeError(
            f"world {script.seed} does not show what its script says: {question.text}", hint="please report this"
        )
    return measured_question


def _decode(video_bytes: bytes) -> Picture:
    to_rgb = VideoReformatter()  # shared by all frames: setting it up takes longer than its work
    with av.open(io.BytesIO(video_bytes), "r") as container:
        rgb_frames = [to_rgb.reformat(rgb_frame, format="rgb24") for rgb_frame in container.decode(video=0)]
    return np.stack([np.asarray(rgb_frame.to_ndarray(), np.uint8) for rgb_frame in rgb_frames])
