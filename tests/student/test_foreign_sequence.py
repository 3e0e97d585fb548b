"""Trajectories of two and three looks, with boxes, as somebody else would put them together from transformers alone.

Nothing here is ours but the student, the footage and what is compared: text, tokens, times, pixels, positions and what is
trained are made a second time, by other code, and go through the model in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

from dmforge.generators.footage import ShownClip
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.retrace import retrace
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, prompt_of, roll
from dmforge.schemas.looks import Look
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, speck
from tests.support.barcodes import picture

STUDENT = speck()
ENGINE = TransformersEngine(STUDENT)
TOKENIZER = STUDENT.vocabulary.tokenizer
DURATION_S, GRID_FPS, WIDTH, HEIGHT = 10, 12, 192, 128
MAX_FRAMES = 24


class Processor(Qwen3VLVideoProcessor):
    """Hugging Face's own, but for the one line of torchvision in its way: `normalize` is `(x - mean) / std` there, too."""

    def normalize(self, image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, inplace: bool = False) -> torch.Tensor:
        mean, std = (torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (mean, std))
        return image.sub(mean).div(std)


def frames_at(times_s: list[float], width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([picture(math.floor(time_s * GRID_FPS + 1e-6), width, height) for time_s in times_s])


def coarse_times() -> list[float]:
    return [float(second) for second in range(DURATION_S)]


@dataclass(frozen=True)
class WrittenLook:
    """A look as a policy writes it; a box takes whole cells of the picture."""

    start_s: float
    end_s: float
    fps: int
    box: tuple[int, int, int, int] | None = None
    """Left, upper, right and lower side in cells of 32 pixels."""

    @property
    def text(self) -> str:
        sides = ""
        if self.box:
            left, upper, right, lower = self.box
            columns, rows = WIDTH // 32, HEIGHT // 32
            permille = (1000 * left // columns, 1000 * upper // rows, 1000 * right // columns, 1000 * lower // rows)
            sides = f"<box>{' '.join(map(str, permille))}</box>"
        return f"<span>{self.start_s:.2f} - {self.end_s:.2f}</span>{sides}<fps>{self.fps}</fps>"

    @property
    def times_s(self) -> list[float]:
        count = math.floor((self.end_s - self.start_s) * self.fps + 1e-9)
        return [math.ceil((self.start_s + index / self.fps) * GRID_FPS - 1e-6) / GRID_FPS for index in range(count)]

    def frames(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        whole = frames_at(self.times_s, WIDTH, HEIGHT)
        left, upper, right, lower = self.box or (0, 0, WIDTH // 32, HEIGHT // 32)
        return whole[:, 32 * upper : 32 * lower, 32 * left : 32 * right]


@dataclass
class Footage:
    """What the runtime is given: by window, the frames of a look that was really asked for."""

    looks: dict[tuple[int, int, bool], WrittenLook]
    asked: list[Look] = field(default_factory=list[Look])

    def coarse(self) -> ShownClip:
        return ShownClip(frames_at(coarse_times(), 64, 32), tuple(map(Fraction, range(DURATION_S))))

    def look(self, look: Look) -> ShownClip:
        self.asked.append(look)
        written = self.looks[look.window.start_cs, look.window.end_cs, look.box is not None]
        times = tuple(Fraction(round(time_s * GRID_FPS), GRID_FPS) for time_s in written.times_s)
        return ShownClip(np.ascontiguousarray(written.frames()), times)


def invented(rng: Random, count: int) -> list[WrittenLook]:
    looks: list[WrittenLook] = []
    while len(looks) < count:
        start_s = rng.randrange(0, 80) / 10
        end_s, fps = start_s + rng.randrange(10, 20) / 10, rng.choice((1, 2, 3, 4, 6))
        box = None
        if rng.random() < 0.5:
            left, upper = rng.randrange(WIDTH // 32 - 1), rng.randrange(HEIGHT // 32 - 1)
            box = (left, upper, rng.randrange(left + 1, WIDTH // 32 + 1), rng.randrange(upper + 1, HEIGHT // 32 + 1))
        look = WrittenLook(start_s, end_s, fps, box)
        is_new = (look.start_s, look.end_s) not in {(other.start_s, other.end_s) for other in looks}
        if 2 <= len(look.times_s) <= MAX_FRAMES and is_new:
            looks.append(look)
    return looks


def clip_text(times_s: list[float], frames: np.ndarray[Any, Any]) -> str:
    pads = "<|video_pad|>" * ((frames.shape[1] // 32) * (frames.shape[2] // 32))
    padded = [*times_s, *times_s[-1:]] if len(times_s) % 2 else times_s
    stamps = [(first + second) / 2 for first, second in zip(padded[::2], padded[1::2], strict=True)]
    return "".join(f"<{stamp:.1f} seconds><|vision_start|>{pads}<|vision_end|>" for stamp in stamps)


@dataclass(frozen=True)
class Sequence:
    """A whole trajectory as a model takes it."""

    ids: torch.Tensor
    is_policy: torch.Tensor
    pixels: torch.Tensor
    grids: torch.Tensor
    positions: torch.Tensor
    logits: torch.Tensor


def put_together(looks: list[WrittenLook], thoughts: list[str]) -> Sequence:
    """The trajectory by other code, through the model in one piece."""
    coarse = frames_at(coarse_times(), 64, 32)
    opening = f"<|im_start|>user\n{clip_text(coarse_times(), coarse)}{QUESTION.text}<|im_end|>\n<|im_start|>assistant\n"
    parts, clips = [(opening, False)], [coarse]
    for index, look in enumerate(looks):
        parts.append((f"{'<think>' if not index else ''}{thoughts[index]}{look.text}", True))
        parts.append((clip_text(look.times_s, look.frames()), False))
        clips.append(look.frames())
    parts.append((f"{thoughts[-1]}</think><answer>blue</answer><|im_end|>", True))
    ids: list[int] = []
    is_policy: list[bool] = []
    for text, of_policy in parts:
        tokens = TOKENIZER(text, add_special_tokens=False)["input_ids"]
        ids += tokens
        is_policy += [of_policy] * len(tokens)
    processed = [
        Processor(do_sample_frames=False)._preprocess(
            [torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2)], do_resize=False, size=None, resample=None,
            do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=(0.5,) * 3, image_std=(0.5,) * 3,
            patch_size=16, temporal_patch_size=2, merge_size=2, cap_pixels_per_frame=False, return_tensors="pt",
        )
        for clip in clips
    ]  # fmt: skip
    pixels = torch.cat([clip["pixel_values_videos"] for clip in processed])
    grids = torch.cat([clip["video_grid_thw"] for clip in processed])
    row = torch.tensor([ids])
    pad = TOKENIZER.convert_tokens_to_ids("<|video_pad|>")
    positions, _ = STUDENT.model.model.get_rope_index(
        row, mm_token_type_ids=(row == pad).int() * 2, video_grid_thw=grids.clone()
    )
    with torch.no_grad():
        logits = STUDENT.model(
            input_ids=row, position_ids=positions, pixel_values_videos=pixels, video_grid_thw=grids, use_cache=False
        ).logits[0]
    return Sequence(row[0], torch.tensor(is_policy), pixels, grids, positions[:, 0], logits)


@contextmanager
def dictated(ids: list[int]) -> Generator[list[torch.Tensor]]:
    """What the one row of a rollout writes, token by token; the logits that it would have chosen by."""
    words, seen = iter(ids), list[torch.Tensor]()

    def lift(layer: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        token = next(words, None)
        if token is None:
            return logits
        seen.append(logits.reshape(-1, logits.shape[-1])[-1].clone())
        lifted = logits.clone()
        lifted[..., token] += 1e4
        return lifted

    hook = STUDENT.model.lm_head.register_forward_hook(lift)
    try:
        yield seen
    finally:
        hook.remove()


def compare(seed: int) -> None:
    rng = Random(seed)
    looks = invented(rng, 2 + seed % 2)
    thoughts = [rng.choice(("It flashes.", "Once more, at 3.5 seconds.", "12, no.")) for _ in range(len(looks) + 1)]
    expected = put_together(looks, thoughts)
    footage = Footage({(round(look.start_s * 100), round(look.end_s * 100), look.box is not None): look for look in looks})
    request = RolloutRequest(prompt_of((COARSE, QUESTION), footage), footage, Sampling(max_tokens=400))
    with dictated(expected.ids[expected.is_policy].tolist()) as chosen_by:
        (rolled,) = roll(ENGINE, [request], RolloutLimits(max_looks=len(looks)))
    assert rolled.ending == "answered"
    assert len(rolled.looks) == len(looks)
    sequence = retrace(rolled, footage, STUDENT.layout)
    assert sequence.ids.tolist() == expected.ids.tolist()
    assert sequence.trained.tolist() == expected.is_policy.tolist()
    assert np.array_equal(sequence.positions, expected.positions.numpy())
    assert sequence.grids.tolist() == expected.grids.tolist()
    # with the cache that was kept over all clips, each token was chosen by what one pass over the whole says
    before = torch.nonzero(expected.is_policy).flatten() - 1
    assert float((torch.stack(chosen_by) - expected.logits[before]).abs().max()) <= 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_two_and_three_looks_are_what_another_program_makes_of_them(seed: int) -> None:
    compare(seed)


@pytest.mark.slow
def test_sixty_trajectories_are_what_another_program_makes_of_them() -> None:
    for seed in range(60):
        compare(seed)
