"""What vLLM makes of clips in token ids: as our loop for verl hands them over, and as verl does.

    python tests/vllm/lane/written_out.py STUDENT

It prints, as JSON, the ids that a processor of Hugging Face writes, those of vLLM behind `unexpanded`, and those behind verl's
way, which leaves one placeholder of each run.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import groupby
from typing import Any

import numpy as np

STAMPS_S = ((0, 2, 4, 6, 8, 10), (2, 2.5, 3, 3.5))


def clip(times_s: tuple[float, ...]) -> tuple[Any, dict[str, Any]]:
    frames = np.random.default_rng(len(times_s)).integers(0, 255, (len(times_s), 64, 64, 3), dtype=np.uint8)
    return frames, {"fps": 2.0, "frames_indices": [int(2 * time_s) for time_s in times_s], "total_num_frames": 21}


def main() -> None:
    from transformers import AutoProcessor
    from vllm import LLM, SamplingParams, TokensPrompt  # pyright: ignore

    from dmforge.generators.look_tool.unexpanded_clips import VideoTokens, unexpanded
    from dmforge.schemas.stamps import patches

    processor: Any = AutoProcessor.from_pretrained(sys.argv[1])
    tokens = VideoTokens(processor.vision_start_token_id, processor.video_token_id, processor.vision_end_token_id)
    videos = [clip(times_s) for times_s in STAMPS_S]
    mark = "<|vision_start|><|video_pad|><|vision_end|>"
    text = f"<|im_start|>user\n{mark}What?<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\n{mark}<|im_end|>\n"
    frames, metadata = ([*column] for column in zip(*videos, strict=True))
    ids = processor(text=[text], videos=frames, video_metadata=metadata, do_sample_frames=False)["input_ids"][0]
    short = unexpanded(ids, [patches(len(times_s)) for times_s in STAMPS_S], tokens)
    verls = [token for token, run in groupby(ids) for token in ([token] if token == tokens.pad else run)]
    engine = LLM(
        sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=1024, block_size=32, max_num_seqs=2,
        limit_mm_per_prompt={"video": 4},
    )  # fmt: skip

    def shown(prompt_ids: list[int]) -> list[int]:
        prompt = TokensPrompt(prompt_token_ids=prompt_ids, multi_modal_data={"video": videos})
        return list(engine.generate(prompt, SamplingParams(max_tokens=1))[0].prompt_token_ids)

    sys.stdout.write(json.dumps({"trained": list(ids), "ours": shown(short), "verls": shown(verls)}) + "\n")


if __name__ == "__main__":
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    main()
