"""The PyAV backend, for foreign files: it seeks to keyframes only, and returns exactly the requested frame or an error."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from dmforge.curation.video.decoders import DecodedClip, Frames, in_request_order
from dmforge.curation.video.display_order import in_display_order
from dmforge.curation.video.geometry import displayed_size
from dmforge.curation.video.opening import ffmpeg_errors, open_video
from dmforge.curation.video.timeline import Timeline, read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.schemas.sizes import Size

MAX_REORDER = 16
"""How many frames can wait for another one, in H.264 and HEVC."""


class PyAV:
    """The decoder that must be right on everything that can be decoded at all."""

    name = "pyav"

    def read(self, path: Path, times_s: Sequence[Fraction], size: Size | None = None) -> DecodedClip:
        timeline = read_timeline(path)
        requested_pts = [timeline.shown_at(time_s) for time_s in times_s]
        scaler = VideoReformatter()

        def decode(ascending_pts: Sequence[int]) -> Iterator[tuple[int, Frames]]:
            for frame_pts, frame in decode_frames(timeline, ascending_pts):
                yield frame_pts, upright(frame, timeline, scaler, size)

        rgb_frames = in_request_order(requested_pts, decode)
        return DecodedClip(rgb_frames, tuple(timeline.time_s(frame_pts) for frame_pts in requested_pts))


def decode_frames(timeline: Timeline, requested_pts: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Decode the frames with exactly these pts, ascending; an error where one can't be had."""
    for frame_pts, frame in _decode_requested(timeline, requested_pts):
        if (frame.width, frame.height) != timeline.stored_size:
            other_size = f"at {float(timeline.time_s(frame_pts)):g} s to {frame.width} x {frame.height}"
            raise UnusableVideo("changes size", other_size, where=str(timeline.path))
        yield frame_pts, frame


def _decode_requested(timeline: Timeline, requested_pts: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    done_count = 0
    needs_no_seek = (None, *timeline.key_pts[:1])  # some streams mark no keyframe at all
    if any(timeline.key_before(frame_pts) not in needs_no_seek for frame_pts in requested_pts):
        for frame_pts, frame in _decode_by_seeking(timeline, requested_pts):
            yield frame_pts, frame
            done_count += 1
    yield from _decode_from_start(timeline, requested_pts[done_count:])


def upright(frame: VideoFrame, timeline: Timeline, scaler: VideoReformatter, size: Size | None) -> Frames:
    """A frame as it is displayed: square pixels, turned as the file says, RGB; at its own size or at `size`."""
    rotation_deg = timeline.rotation_deg
    target_width, target_height = (
        (size.width, size.height) if size else displayed_size(*timeline.stored_size, timeline.pixel_aspect, rotation_deg)
    )
    if rotation_deg % 180:
        target_width, target_height = target_height, target_width
    with ffmpeg_errors(timeline.path, "colours"):
        reformatted_frame = scaler.reformat(frame, target_width, target_height, "rgb24", interpolation=Interpolation.AREA)
    return np.rot90(np.asarray(reformatted_frame.to_ndarray(), np.uint8), -(rotation_deg // 90))


def _decode_by_seeking(timeline: Timeline, requested_pts: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """The requested frames, each decoded from the keyframe before it; ends early where seeking fails."""
    with open_video(timeline.path) as (container, stream):
        decoded_frames: Iterator[tuple[int, VideoFrame]] = iter(())
        last_wanted_pts: int | None = None
        for wanted_pts in requested_pts:
            key_pts = timeline.key_before(wanted_pts)
            if key_pts is not None and (last_wanted_pts is None or key_pts > last_wanted_pts):
                decoded_frames = _decode_from_key(timeline, container, stream, key_pts)
            try:
                frame_pts, frame = next(
                    ((frame_pts, frame) for frame_pts, frame in decoded_frames if frame_pts >= wanted_pts), (None, None)
                )
            except FFmpegError:
                return
            if frame is None or frame_pts != wanted_pts or frame.is_corrupt:
                return
            last_wanted_pts = wanted_pts
            yield wanted_pts, frame


def _decode_from_key(
    timeline: Timeline, container: InputContainer, stream: VideoStream, key_pts: int
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames from a keyframe on; none where the container seeks past it."""
    container.seek(key_pts, stream=stream, backward=True, any_frame=False)
    packets = container.demux(stream)
    first_packet = next(packets, None)
    if first_packet is None or first_packet.pts is None or not first_packet.is_keyframe or first_packet.pts > key_pts:
        return
    begin_pts = first_packet.pts
    decoded_frames = (frame for packet in chain([first_packet], packets) for frame in packet.decode())
    # frames shown before the keyframe depend on frames that were not decoded
    yield from _require_order(
        timeline, (frame for frame in decoded_frames if frame.pts is not None and frame.pts >= begin_pts), begin_pts
    )


def _decode_from_start(timeline: Timeline, requested_pts: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    if not requested_pts:
        return
    remaining_pts = iter(requested_pts)
    wanted_pts = next(remaining_pts, None)
    decoded_frames = _all_frames(timeline)
    while wanted_pts is not None:
        frame_pts, frame = next(
            ((frame_pts, frame) for frame_pts, frame in decoded_frames if frame_pts >= wanted_pts), (None, None)
        )
        if frame is None or frame_pts != wanted_pts or frame.is_corrupt:
            missing_frame = f"the frame at {float(timeline.time_s(wanted_pts)):g} s can't be decoded"
            raise UnusableVideo("damaged", missing_frame, where=str(timeline.path))
        yield wanted_pts, frame
        wanted_pts = next(remaining_pts, None)


def _all_frames(timeline: Timeline) -> Iterator[tuple[int, VideoFrame]]:
    """The frames of a file with their pts: those they carry, or where they carry none, those of the timeline."""
    if timeline.stores_pts:
        with open_video(timeline.path) as (container, stream), ffmpeg_errors(timeline.path, "damaged"):
            yield from _require_order(timeline, container.decode(stream), timeline.pts[0])
    else:
        frames = chain.from_iterable(frames for _, frames in in_display_order(timeline.path))
        yield from zip(timeline.pts, frames, strict=False)


def _require_order(timeline: Timeline, frames: Iterator[VideoFrame], begin_pts: int) -> Iterator[tuple[int, VideoFrame]]:
    """Frames with their pts, from `begin_pts` on; an error where they are decoded in another order than the file says.

    Files that were copied from an AVI by a tool that numbers packets claim such times.
    """
    due_index = bisect_left(timeline.pts, begin_pts)
    lookahead_frames: deque[VideoFrame] = deque()
    while (frame := lookahead_frames.popleft() if lookahead_frames else next(frames, None)) is not None:
        frame_pts = frame.pts
        if frame_pts is None or (frame_index := timeline.index_of(frame_pts)) is None:
            continue
        if frame_index > due_index:
            lookahead_frames.extend(islice(frames, MAX_REORDER - len(lookahead_frames)))
        if frame_index + 1 < due_index or any(
            later_frame.pts is not None and later_frame.pts < frame_pts for later_frame in lookahead_frames
        ):
            order_fault = f"at {float(timeline.time_s(frame_pts)):g} s frames are decoded in another order than the file says"
            raise UnusableVideo("no times", order_fault, where=str(timeline.path))
        due_index = frame_index + 1
        yield frame_pts, frame
