"""A plugin for vLLM servers: it reads a video that is a payload of ours, which brings its frames and the time of each.

What a server makes of a video file is its own: it samples frames and counts their times from them. With a payload there is
nothing to sample. vLLM finds the plugin by dmforge's entry point `vllm.general_plugins`, in every process that it starts.
"""

from __future__ import annotations

from typing import Any

from dmforge.generators.footage import Pixels
from dmforge.generators.inference.engines.clip_payload import BACKEND, payload_from


def register() -> None:
    """Register the loader of clips that come as payloads. vLLM calls this, perhaps more than once."""
    from vllm.multimodal.video import VIDEO_LOADER_REGISTRY, VideoLoader  # pyright: ignore

    class ClipPayloads(VideoLoader):  # pyright: ignore[reportUntypedBaseClass]
        """Reads what `Parcel.to_bytes` wrote, whatever other options it is given."""

        @classmethod
        def load_bytes(cls, data: bytes, num_frames: int = -1, **options: Any) -> tuple[Pixels, dict[str, Any]]:
            clip = payload_from(data)
            return clip.frames, clip.metadata

    VIDEO_LOADER_REGISTRY.register(BACKEND)(ClipPayloads)
