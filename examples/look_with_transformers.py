"""A trained student that looks at a video while it thinks, in plain transformers: nothing of dmforge is needed.

    pip install transformers torch torchvision decord
    python examples/look_with_transformers.py trained/sft/checkpoint-2000 lecture.mp4 "What does she write on the board?"

The student has learnt a context of this form, token by token, so it must be shown no other:

- the chat template of its tokenizer around one user turn: the clip of the whole video, then the question;
- each clip is one <|video_pad|> that the processor expands. Put no <|vision_start|> and <|vision_end|> around it: the
  processor writes them around the tokens of every two frames, and keeps what else stands there;
- frames come sampled and resized (`do_sample_frames`, `do_resize`), with their times in `video_metadata`: stamps are made of
  these;
- the student writes <span>12.00 - 20.00</span><fps>2</fps> and is stopped behind </fps>. The clip goes right behind it, and the
  student writes on in the same turn.

How many frames and visual tokens clips had in training stands in the README.md of the checkpoint.
"""

import argparse
import math
import re
from collections.abc import Callable

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

GRID_FPS = 12  # looks are cut from frames on this grid
NUMBER = r"([0-9]+(?:[.][0-9]+)?)"
LOOK = re.compile(rf"<span>{NUMBER} - {NUMBER}</span><fps>(?!0+(?:[.]0+)?<){NUMBER}</fps>$")  # at more than 0 fps

Clip = tuple[np.ndarray, list[float]]  # frames x height x width x colours, and the second of each


def coarse_times(duration_s: float, fps: float, max_frames: int) -> list[float]:
    """The times of the clip of a whole video."""
    frames = int(min(max(duration_s * fps, 4), max_frames)) // 2 * 2
    return [index * duration_s / frames for index in range(frames)]


def look_times(start_s: float, end_s: float, fps: float, duration_s: float, max_frames: int) -> list[float]:
    """The times of a look: on the grid, and no more than it may have."""
    end_s, fps = min(end_s, duration_s), min(fps, GRID_FPS)
    if (end_s - start_s) * fps >= max_frames + 1:
        fps = GRID_FPS / (int((end_s - start_s) * GRID_FPS / (max_frames + 1)) + 1)
    frames = int((end_s - start_s) * fps + 1e-9)
    numbers = [math.ceil((start_s + index / fps) * GRID_FPS - 1e-9) for index in range(frames)]
    if frames < 2:  # the first one and the last; between two of the grid the one that is on screen, twice
        first, last = math.ceil(start_s * GRID_FPS - 1e-9), math.ceil(end_s * GRID_FPS - 1e-9) - 1
        numbers = [first, last] if first <= last else [int(start_s * GRID_FPS)] * 2
    return [number / GRID_FPS for number in numbers]


def size_of(width: int, height: int, frames: int, max_tokens: int) -> tuple[int, int]:
    """The largest size, in whole cells of 32 pixels, at which so many frames cost no more than these visual tokens."""
    long, short = max(width, height), min(width, height)
    cells, best = round(long / 32), (1, 1)
    for long_cells in range(1, cells + 1):
        short_cells = max(1, round(long_cells * short / long))
        if long_cells * short_cells * math.ceil(frames / 2) <= max_tokens:
            best = (long_cells, short_cells)
    return (32 * best[0], 32 * best[1]) if width >= height else (32 * best[1], 32 * best[0])


def asked(question: str) -> list[dict[str, str]]:
    """The clip of the whole video, and the question right behind it."""
    return [{"role": "user", "content": f"<|video_pad|>{question}"}]


class Watcher:
    """A student with the clips that it has been shown."""

    def __init__(self, checkpoint: str) -> None:
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        self.model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype="auto", device_map="auto").eval()
        ids = self.processor.tokenizer.convert_tokens_to_ids
        self.ends = [ids("<|im_end|>"), ids("</fps>")]

    def context(self, text: str, clips: list[Clip]) -> dict[str, torch.Tensor]:
        """Text with its clips as the processor writes it, ready for the model."""
        if not clips:
            return dict(self.processor(text=[text], return_tensors="pt", add_special_tokens=False))
        frames, metadata = [], []
        for pixels, times_s in clips:
            if len(pixels) % 2:  # a lone last frame is repeated
                pixels, times_s = np.concatenate([pixels, pixels[-1:]]), [*times_s, times_s[-1]]
            frames.append(torch.from_numpy(pixels).permute(0, 3, 1, 2))
            ticks = [round(time_s * 1_000_000) for time_s in times_s]  # the processor divides numbers of frames by a rate
            metadata.append({"fps": 1_000_000, "frames_indices": ticks, "total_num_frames": ticks[-1] + 1})
        sampled = {"do_sample_frames": False, "do_resize": False, "video_metadata": metadata}
        return dict(self.processor(text=[text], videos=frames, return_tensors="pt", add_special_tokens=False, **sampled))

    def think(self, question: str, coarse: Clip, look: Callable[[float, float, float], Clip], max_looks: int = 1) -> str:
        """What the student writes about a question, with its looks in it."""
        prompt = self.processor.tokenizer.apply_chat_template(asked(question), tokenize=False, add_generation_prompt=True)
        shown, written, looks = self.context(prompt, [coarse]), "", 0
        while True:
            shown = {name: part.to(self.model.device) for name, part in shown.items()}
            length = shown["input_ids"].shape[1]
            with torch.no_grad():
                ids = self.model.generate(**shown, max_new_tokens=512, do_sample=False, eos_token_id=self.ends)[:, length:]
            written += self.processor.tokenizer.decode(ids[0])
            wanted = LOOK.search(written)
            if wanted is None or looks == max_looks:
                return written.removesuffix("<|im_end|>")
            looks += 1
            clip = self.context("<|video_pad|>", [look(*map(float, wanted.groups()))])
            shown = joined(shown, ids, {name: part.to(ids.device) for name, part in clip.items()})


def joined(shown: dict[str, torch.Tensor], ids: torch.Tensor, clip: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The context with what was written behind it, and the clip behind that."""
    words = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": torch.zeros_like(ids)}
    return {
        name: torch.cat([part, words[name], clip[name]], 1) if name in words else torch.cat([part, clip[name]])
        for name, part in shown.items()
    }


def opened(description: str) -> tuple[argparse.Namespace, Clip, Callable[[float, float, float], Clip]]:
    """The options, the clip of the whole video, and what cuts looks from it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("video")
    parser.add_argument("question")
    parser.add_argument("--coarse-fps", type=float, default=2)
    parser.add_argument("--coarse-frames", type=int, default=256)
    parser.add_argument("--coarse-tokens", type=int, default=12_288)
    parser.add_argument("--look-frames", type=int, default=64)
    parser.add_argument("--look-tokens", type=int, default=8_192)
    parser.add_argument("--looks", type=int, default=1)
    options = parser.parse_args()

    import decord

    file = decord.VideoReader(options.video)
    height, width, _ = file[0].shape
    spans_s = file.get_frame_timestamp(range(len(file)))
    starts_s, duration_s = spans_s[:, 0], float(spans_s[-1, 1])

    def clip(times_s: list[float], size: tuple[int, int]) -> Clip:
        """The frames that are on screen at these times."""
        numbers = np.searchsorted(starts_s, np.array(times_s) + 1e-6, side="right") - 1
        reader = decord.VideoReader(options.video, width=size[0], height=size[1])
        return reader.get_batch(numbers.clip(0).tolist()).asnumpy(), times_s

    def look(start_s: float, end_s: float, fps: float) -> Clip:
        times_s = look_times(start_s, end_s, fps, duration_s, options.look_frames)
        return clip(times_s, size_of(width, height, options.look_frames, options.look_tokens))

    times_s = coarse_times(duration_s, options.coarse_fps, options.coarse_frames)
    return options, clip(times_s, size_of(width, height, len(times_s), options.coarse_tokens)), look


def main() -> None:
    options, coarse, look = opened(__doc__)
    print(Watcher(options.checkpoint).think(options.question, coarse, look, options.looks))


if __name__ == "__main__":
    main()
