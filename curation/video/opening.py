"""Opens foreign video files: by their content, on one thread, strictly, and with a named reason for each refusal."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EIO, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS, ESTALE
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from dmforge.curation.io.atomic import DEFAULT_HINT, disk_errors
from dmforge.curation.video.unusable import Reason, UnusableVideo
from dmforge.schemas.errors import LakeError

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "ivf", "gif",
)  # fmt: skip
"""Containers that hold their own pictures. Playlists, lists of files and numbered images would open other files."""

AS_STORED = MappingProxyType({"fflags": "nofillin"})
"""FFmpeg options that keep times as the file has them, and make none up."""


@contextmanager
def open_video(
    path: Path, container_options: Mapping[str, str] = MappingProxyType({})
) -> Generator[tuple[InputContainer, VideoStream]]:
    """A file and the video stream that players show, to be read on one thread and without forgiving errors."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise UnusableVideo("not a video", "neither a file nor a link to one", where=str(path))
    with ffmpeg_errors(path, "not a video"), disk_errors(path), path.open("rb") as video_file:
        # by its descriptor, so that its name has no say in what it is; strict, so that damage is an error and no guess
        file_url, format_option = f"file:/proc/self/fd/{video_file.fileno()}", {"format_whitelist": ",".join(CONTAINERS)}
        with av.open(
            file_url, "r", container_options={**format_option, **container_options}, metadata_errors="replace"
        ) as container:
            if not moving_streams(container):
                raise UnusableVideo("no video stream", where=str(path))
            best_stream = container.streams.best("video")
            video_stream = (
                best_stream
                if isinstance(best_stream, VideoStream) and not _is_cover(best_stream)
                else moving_streams(container)[0]
            )
            codec_context: Any = video_stream.codec_context  # None where there is no decoder
            if codec_context is None:
                raise UnusableVideo("no decoder", where=str(path))
            codec_context.options = {"err_detect": "explode"}
            codec_context.thread_count = 1
            yield container, video_stream


@contextmanager
def ffmpeg_errors(path: Path, reason: Reason) -> Generator[None]:
    """Translate FFmpeg's errors by their cause: the file, the machine's memory, or the disk."""
    try:
        yield
    except FFmpegError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        if error.errno in DISK_ERRNOS:
            raise LakeError(f"the disk refused: {(error.strerror or '').lower()}", where=str(path), hint=DEFAULT_HINT) from None
        raise UnusableVideo(reason, (error.strerror or "").lower(), where=str(path)) from None


DISK_ERRNOS = frozenset({ENOENT, EIO, EACCES, EPERM, ESTALE, EMFILE, ENFILE, ENOSPC, EDQUOT, EROFS})
"""Errors that say nothing about the file itself: a later attempt may read it."""


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams of a file, without those that hold only a cover picture."""
    return [stream for stream in container.streams.video if not _is_cover(stream)]


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)
