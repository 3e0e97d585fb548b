"""A plugin for vLLM servers: it reads a video that is a clip of ours, which brings its frames and the time of each.

What a server makes of a video file is its own: it samples frames and counts their times from them. With such a clip there is
nothing to sample. vLLM finds the plugin by dmforge's entry point `vllm.general_plugins`, in every process that it starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dmforge.curation.video.jpeg import from_jpeg
from dmforge.generators.footage import Pixels
from dmforge.generators.video_part import BACKEND, from_video


def register() -> None:
    """Register the loader of our clips. vLLM calls this, perhaps more than once."""
    from vllm.multimodal.video import VIDEO_LOADER_REGISTRY, VideoLoader  # pyright: ignore

    class StampedVideos(VideoLoader):  # pyright: ignore[reportUntypedBaseClass]
        """Reads what `to_video` wrote, whatever other options it is given."""

        @classmethod
        def load_bytes(cls, data: bytes, num_frames: int = -1, **options: Any) -> tuple[Pixels, dict[str, Any]]:
            frame_ticks, jpegs = from_video(data)
            return np.stack(from_jpeg(jpegs)), frame_ticks.metadata

    VIDEO_LOADER_REGISTRY.register(BACKEND)(StampedVideos)
