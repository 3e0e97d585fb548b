"""The same in plain vLLM, on one GPU: the context is that of look_with_transformers.py, and nothing of dmforge is needed.

    pip install vllm decord
    python examples/look_with_vllm.py trained/sft/checkpoint-2000 lecture.mp4 "What does she write on the board?"

vLLM is given tokens with one <|video_pad|> for each clip, and frames that are sampled and resized (`mm_processor_kwargs`,
`do_sample_frames` in the metadata). What it has seen of a prompt it keeps, so a look costs its clip and no more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from look_with_transformers import LOOK, Clip, asked, opened
from vllm import LLM, SamplingParams


class Watcher:
    """A student in vLLM."""

    def __init__(self, checkpoint: str, max_looks: int = 1, **engine: Any) -> None:
        self.llm = LLM(
            checkpoint,
            limit_mm_per_prompt={"image": 0, "video": 1 + max_looks},
            mm_processor_kwargs={"do_resize": False},
            generation_config="vllm",  # else the temperature of the checkpoint's own file counts
            enable_prefix_caching=True,
            **engine,
        )
        self.tokenizer, self.max_looks = self.llm.get_tokenizer(), max_looks
        ids = self.tokenizer.convert_tokens_to_ids
        self.pad, ends = ids("<|video_pad|>"), [ids("<|im_end|>"), ids("</fps>")]
        self.sampling = SamplingParams(temperature=0, max_tokens=512, stop_token_ids=ends, skip_special_tokens=False)

    def think(self, question: str, coarse: Clip, look: Callable[[float, float, float], Clip]) -> str:
        """What the student writes about a question, with its looks in it."""
        prompt = self.tokenizer.apply_chat_template(asked(question), tokenize=False, add_generation_prompt=True)
        ids, clips, written = self.tokenizer.encode(prompt, add_special_tokens=False), [with_metadata(coarse)], list[int]()
        while True:
            request = {"prompt_token_ids": [*ids, *written], "multi_modal_data": {"video": clips}}
            (result,) = self.llm.generate([request], self.sampling, use_tqdm=False)
            written += result.outputs[0].token_ids
            text = self.tokenizer.decode([token for token in written if token != self.pad])
            wanted = LOOK.search(text)
            if wanted is None or len(clips) > self.max_looks:
                return text.removesuffix("<|im_end|>")
            clips.append(with_metadata(look(*map(float, wanted.groups()))))
            written.append(self.pad)


def with_metadata(clip: Clip) -> tuple[np.ndarray, dict[str, Any]]:
    """A clip with the times of its frames; a lone last one is repeated."""
    pixels, times_s = clip
    if len(pixels) % 2:
        pixels, times_s = np.concatenate([pixels, pixels[-1:]]), [*times_s, times_s[-1]]
    ticks = [round(time_s * 1_000_000) for time_s in times_s]
    metadata = {"fps": 1_000_000.0, "frames_indices": ticks, "total_num_frames": ticks[-1] + 1, "do_sample_frames": False}
    return pixels, metadata | {"duration": times_s[-1], "video_backend": "decord"}


def main() -> None:
    options, coarse, look = opened(__doc__)
    print(Watcher(options.checkpoint, options.looks).think(options.question, coarse, look))


if __name__ == "__main__":
    main()
