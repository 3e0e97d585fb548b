"""Stands in for verl's inference servers, which need GPUs: the same call, answered by a small student in this process.

As vLLM does, it writes out clips that are one placeholder each; what it was shown is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.workers.rollout.replica import TokenOutput  # pyright: ignore

MAX_NEW_TOKENS = 120


@dataclass(frozen=True)
class Turn:
    """What the server was asked with, and what the student wrote."""

    asked_ids: list[int]
    shown_ids: list[int]
    written: str


class StandInServer:
    """The one call of verl's `LLMServerClient` that agent loops make."""

    def __init__(self, student: Path) -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(str(student)).eval()
        self.processor: Any = AutoProcessor.from_pretrained(str(student))
        self.turns = list[Turn]()

    async def generate(self, request_id: str, *, prompt_ids: list[int], **options: Any) -> Any:
        del request_id
        shown = self._shown(prompt_ids, options.get("image_data"), options.get("video_data"))
        with torch.no_grad():
            ids = self.model.generate(**shown, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        shown_ids = shown["input_ids"][0].tolist()
        written = ids[0, len(shown_ids) :].tolist()
        self.turns.append(Turn(prompt_ids, shown_ids, self.processor.tokenizer.decode(written)))
        return TokenOutput(token_ids=written, log_probs=[0.0] * len(written), stop_reason="completed")

    def _shown(self, prompt_ids: list[int], images: Any, videos: Any) -> dict[str, Any]:
        """The model's inputs: videos are written out where they are one placeholder each, images stand as they are to be."""
        pads = prompt_ids.count(self.processor.video_token_id)
        frames, metadata = zip(*videos or (), strict=True) if videos else ((), ())
        shown: dict[str, Any] = {"input_ids": torch.tensor([prompt_ids])}
        if videos:
            text = self.processor.tokenizer.decode(prompt_ids) if pads == len(videos) else ""
            clips = {
                "videos": list(frames),
                "video_metadata": list(metadata),
                "do_sample_frames": False,
                "return_tensors": "pt",
            }
            made = self.processor(text=[text], **clips) if text else self.processor.video_processor(**clips)
            shown |= {name: made[name] for name in ("pixel_values_videos", "video_grid_thw")}
            shown |= {"input_ids": made["input_ids"]} if text else {}
        if images:
            shown |= self.processor.image_processor(images=images, return_tensors="pt")
        ids = shown["input_ids"]
        kinds = (ids == self.processor.image_token_id) + 2 * (ids == self.processor.video_token_id)
        return {**shown, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
