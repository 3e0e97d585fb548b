"""Decodes the frames of a look at a foreign file, in a process of its own, which is killed when it hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from dmforge.curation.io.memory_limit import limit_memory
from dmforge.curation.video.decoders import Frames
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.frame_preview import PLACEHOLDER_SHA256
from dmforge.curation.video.isolated_probe import DEADLINE_S, MEMORY_BYTES
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import SCALER
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.clips import Clips
from dmforge.schemas.crops import Crop
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.looks import Look, Window, print_box, print_density, read_box
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size


@dataclass(frozen=True, slots=True)
class FileClip:
    """The frames that a look at a file shows, with the time of each, and the file's own properties."""

    frames: Frames
    times_s: tuple[Fraction, ...]
    video: Video


def read_file_clip(path: Path, clips: Clips, look: Look | None) -> FileClip:
    """The frames of a look, without one those of V0, as large as they are shown; what can't be had is an `InputError`."""
    job = {"path": str(path), "clips": clips.semantic(), "look": None if look is None else _printed(look)}
    # -P: nothing in the folder where one happens to stand is imported
    command = [sys.executable, "-P", "-m", "dmforge.curation.video.isolated_look"]
    hint = "bring the file again from where it came, or leave it out"
    try:
        completed = subprocess.run(command, input=json.dumps(job).encode(), capture_output=True, timeout=DEADLINE_S, check=True)
        head_line, _, pixel_bytes = completed.stdout.partition(b"\n")
        head: dict[str, Any] = json.loads(head_line)
    except subprocess.TimeoutExpired:
        raise InputError(f"it is not read within {DEADLINE_S} s", where=str(path), hint=hint) from None
    except (subprocess.CalledProcessError, ValueError):
        raise InputError("it crashes the process that reads it", where=str(path), hint=hint) from None
    if "error" in head:
        raise InputError(**head["error"])
    video = Video(PLACEHOLDER_SHA256, head["duration_cs"], head["width"], head["height"], Fraction(0), "", 0, 0)
    frame_plan, _ = clips.shown(video, look)
    return FileClip(np.frombuffer(pixel_bytes, np.uint8).reshape(head["shape"]), frame_plan.times_s, video)


def main() -> None:
    limit_memory(MEMORY_BYTES)
    job: dict[str, Any] = json.load(sys.stdin)
    try:
        video, frames = _decode(Path(job["path"]), Clips.from_semantic(job["clips"], where="clips"), _read(job["look"]))
        head = {"duration_cs": video.duration_cs, "width": video.width, "height": video.height, "shape": frames.shape}
    except (DmforgeError, MemoryError) as error:
        frames, head = None, {"error": _refusal(error, job["path"])}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    if frames is not None:
        sys.stdout.buffer.write(np.ascontiguousarray(frames).data)


def _refusal(error: DmforgeError | MemoryError, path: str) -> dict[str, str]:
    if isinstance(error, MemoryError):
        return {"message": "its pictures are too large for the memory that reading may use", "where": path, "hint": "cut it"}
    return {"message": error.message, "where": error.where, "hint": error.hint}


def _decode(path: Path, clips: Clips, look: Look | None) -> tuple[Video, Frames]:
    video = probe(read_timeline(path)).as_video(PLACEHOLDER_SHA256, 0)
    frame_plan, size = clips.shown(video, look)
    crop = None if look is None else clips.crop(video, look)
    decoded = PyAV().read(path, frame_plan.times_s, size if crop is None else crop.picture)
    return video, decoded.frames if crop is None else _cropped(decoded.frames, crop, size)


def _cropped(frames: Frames, crop: Crop, size: Size) -> Frames:
    """The part of each frame in a box, at the size at which it is shown."""
    parts = np.ascontiguousarray(frames[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width])
    if size == crop.size:
        return parts
    scaler = VideoReformatter()
    scaled_frames = (
        scaler.reformat(VideoFrame.from_ndarray(part, format="rgb24"), size.width, size.height, "rgb24", interpolation=SCALER)
        for part in parts
    )
    return np.stack([np.asarray(frame.to_ndarray(), np.uint8) for frame in scaled_frames])


def _printed(look: Look) -> list[Any]:
    box = None if look.box is None else print_box(look.box)
    return [look.window.start_cs, look.window.end_cs, print_density(look.fps), box, look.tokens]


def _read(values: list[Any] | None) -> Look | None:
    if values is None:
        return None
    start_cs, end_cs, density, box, tokens = values
    return Look(Window(start_cs, end_cs), Fraction(density), None if box is None else read_box(box), tokens)


if __name__ == "__main__":
    main()
