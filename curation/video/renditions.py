"""Encodes the two renditions of a foreign file: the coarse clip as it will be shown, and the grid that looks are cut from.

All later reads are of these, so teacher, student and trainer see the same pixels. The libx264 inside PyAV encodes them on one
thread: pinning `av` pins the bytes.

- coarse: exactly the frames of V0 at V0's size. They are always read together, so one GOP without B-frames.
- grid: 12 frames a second at the largest size of a look, a closed GOP each second, so that a look decodes little before it
  begins; B-frames that no frame depends on, so that a decoder may drop them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from dmforge.curation.io.atomic import placing, sync_folder
from dmforge.curation.video.decoders.pyav import decode_frames, upright
from dmforge.curation.video.encode_h264 import BITEXACT, encoding_h264
from dmforge.curation.video.opening import ffmpeg_errors
from dmforge.curation.video.timeline import Timeline
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import base32, digest
from dmforge.schemas.sizes import Size

SHARED = {"preset": "veryfast", "tune": "fastdecode", "crf": "27", "threads": "1", "flags": "+bitexact", "sc_threshold": "0"}
# mbtree reads memory that nobody wrote where frames are small: 64 x 64 gave up to ten different files from one input
COARSE = {**SHARED, "g": "256", "keyint_min": "256", "bf": "0", "x264-params": "mbtree=0"}
GRID = {
    **SHARED, "g": str(GRID_FPS), "keyint_min": str(GRID_FPS), "bf": "3",
    "x264-params": "b-pyramid=none:b-adapt=0:scenecut=0:open-gop=0:weightp=0:mbtree=0",
}  # fmt: skip
LARGE_GRID = {**GRID, "crf": "25"}
"""For a grid with frames as large as the overview's, which are looked at to read more: eleven of twelve lean on others, and
with the same factor they would be coded coarser than the overview's."""
MUXER = {"movflags": "+faststart", **BITEXACT}
COARSE_RATE = Fraction(2)
"""The nominal frame rate of the coarse rendition. It means nothing: its frames are read by index."""


def encoder_name(grid_options: dict[str, str]) -> str:
    """What decides the bytes of a video's renditions, besides their frames."""
    return f"libx264 of av {version('av')}, settings {base32(digest('settings', [COARSE, grid_options, MUXER]))[:8]}"


@dataclass(frozen=True, slots=True)
class RenditionPlan:
    """A rendition to make: which frames, at which size, and where."""

    path: Path
    times_s: tuple[Fraction, ...]
    size: Size
    rate_fps: Fraction
    options: dict[str, str]
    writer_suffix: str = ""
    """Suffix of the unfinished file, one for each writing process."""


def make_renditions(
    timeline: Timeline, renditions: Sequence[RenditionPlan], heartbeat: Callable[[], None] = lambda: None
) -> None:
    """Decode a file once, and write all of its renditions. `heartbeat` is called for every decoded frame that is needed."""
    targets_by_pts: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for rendition_index, rendition_plan in enumerate(renditions):
        for frame_index, time_s in enumerate(rendition_plan.times_s):
            targets_by_pts[timeline.shown_at(time_s)].append((rendition_index, frame_index))
    with ExitStack() as exit_stack:
        rendition_writers = [exit_stack.enter_context(_writer(rendition)) for rendition in renditions]
        for frame_pts, frame in decode_frames(timeline, sorted(targets_by_pts)):
            heartbeat()
            for rendition_index, frame_targets in groupby(targets_by_pts[frame_pts], key=itemgetter(0)):
                rendition_writers[rendition_index].write(frame, timeline, [frame_index for _, frame_index in frame_targets])
    for rendition_plan in renditions:
        sync_folder(rendition_plan.path.parent)


class _Writer:
    """The encoder of one rendition."""

    def __init__(self, encode: Callable[[VideoFrame], None], rendition: RenditionPlan) -> None:
        self._encode, self._rendition, self._scaler = encode, rendition, VideoReformatter()

    def write(self, frame: VideoFrame, timeline: Timeline, output_indices: list[int]) -> None:
        """Encode one frame of the source, once for each of `output_indices`."""
        encoded_frame = self._fit(frame, timeline)
        for output_index in output_indices:
            encoded_frame.pts, encoded_frame.time_base = output_index, 1 / self._rendition.rate_fps
            encoded_frame.pict_type = PictureType.NONE  # the encoder decides, not the source
            self._encode(encoded_frame)

    def _fit(self, frame: VideoFrame, timeline: Timeline) -> VideoFrame:
        """A frame at the size of the rendition, upright, in the colour space that decoders assume of untagged files."""
        rendition_size = self._rendition.size
        if timeline.rotation_deg:
            upright_frame = np.ascontiguousarray(upright(frame, timeline, self._scaler, rendition_size))
            frame = VideoFrame.from_ndarray(upright_frame, format="rgb24")
        with ffmpeg_errors(timeline.path, "colours"):
            return self._scaler.reformat(
                frame, rendition_size.width, rendition_size.height, "yuv420p", interpolation=Interpolation.AREA,
                dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG,
            )  # fmt: skip


@contextmanager
def _writer(rendition: RenditionPlan) -> Generator[_Writer]:
    with (
        placing(rendition.path, rendition.writer_suffix) as temporary_path,
        encoding_h264(f"file:{temporary_path}", rendition.size, rendition.rate_fps, rendition.options, MUXER) as encode_frame,
    ):
        yield _Writer(encode_frame, rendition)
