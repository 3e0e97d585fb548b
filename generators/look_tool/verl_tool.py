"""`crop_video` for verl: a tool that cuts the looks of a rollout out of the rendition that `export --to verl` wrote.

verl 0.9.1's own ToolAgentLoop takes images alone from a tool: `CropVideoImages`, frames and behind them their stamps. With
`verl_loop.LookAgentLoop` a look is a video with times, as in SFT: `CropVideoClip`. Both read `tools_kwargs` of a row.
"""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from verl.tools.base_tool import BaseTool  # pyright: ignore
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse  # pyright: ignore

from dmforge.curation.exports.tool_task import read_tool_task
from dmforge.generators.footage import ShownClip
from dmforge.generators.look_tool.clip_forms import images, stamps, video_with_times
from dmforge.generators.look_tool.crop_video import LookSource, crop_video
from dmforge.generators.rendition_footage import GridRendition
from dmforge.schemas.dialects.tool_dialect import CROP_VIDEO
from dmforge.schemas.errors import InputError


class _ToldSchema(OpenAIFunctionToolSchema):  # pyright: ignore[reportUntypedBaseClass]
    """verl's model of a function drops what a box is made of; a student is told the very text that SFT taught it."""

    def model_dump(self, **options: object) -> dict[str, Any]:
        del options
        return json.loads(CROP_VIDEO)


class _CropVideo(BaseTool):  # pyright: ignore[reportUntypedBaseClass]
    """One instance for each call, as verl makes them. `folder` of its config is that of the export, by default the current."""

    def __init__(self, config: dict[str, Any], tool_schema: object = None) -> None:
        del tool_schema  # what students are told of the function stands in one place
        super().__init__(config, _ToldSchema.model_validate_json(CROP_VIDEO))
        self._folder = Path(config.get("folder", "."))
        self._sources: dict[str, LookSource] = {}

    async def create(self, instance_id: str | None = None, **kwargs: Any) -> tuple[str, Any]:
        name = instance_id or str(uuid4())
        self._sources[name] = GridRendition(*read_tool_task(kwargs["create_kwargs"], self._folder))
        return name, ToolResponse()

    async def execute(self, instance_id: str, parameters: dict[str, Any], **kwargs: Any) -> tuple[Any, float, dict[str, int]]:
        """The frames of a call; where there are none, why, for the policy to read."""
        del kwargs
        try:
            clip = await asyncio.to_thread(crop_video, self._sources[instance_id], parameters)
        except InputError as error:
            return ToolResponse(text=str(error)), 0.0, {}
        return self._response(clip), 0.0, {"look_frames": len(clip.times_s)}

    async def release(self, instance_id: str, **kwargs: Any) -> None:
        del kwargs
        self._sources.pop(instance_id, None)

    @abstractmethod
    def _response(self, clip: ShownClip) -> Any: ...


class CropVideoImages(_CropVideo):
    """For verl's own ToolAgentLoop, which shows a tool's images first and its text behind them."""

    def _response(self, clip: ShownClip) -> Any:
        return ToolResponse(image=images(clip), text=f"Frames at {' '.join(stamps(clip))}")


class CropVideoClip(_CropVideo):
    """For `LookAgentLoop`: frames and the metadata by which a processor prints our stamps."""

    def _response(self, clip: ShownClip) -> Any:
        frames, metadata = video_with_times(clip)
        return ToolResponse(video=[(torch.from_numpy(frames).permute(0, 3, 1, 2), metadata)])
