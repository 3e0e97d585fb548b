"""Is it worth keeping the cache? The clip of a look is put behind a row that is kept, or everything goes through the model
again.

Random students on one thread; a look of 16 frames behind 64, 128 and 256 coarse frames of 32 x 32; then eight rollouts of
one prompt that look after thoughts of different lengths, put in together. There are two baselines: the whole context
through transformers as it comes, and the whole context through our own engine, whose attention is faster by itself and
which puts a prompt that rows share through the model once. All ways end with the same logits, which is checked. The
smallest student is there to show what the fixed cost of a forward hides.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch

from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.student.patchify import normalised
from dmforge.generators.student.tiny import SHAPES, Shape, make_student
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from tests.support.tables import show as show_table

COMMAND = "python -m benchmarks.injection"
TARGETS = {64: 4.0, 128: 5.5, 256: 8.0}
GROUP, GROUP_TARGET = 8, 4.0
STUDENT_SHAPES = (Shape(256, 8, 8, 4, 768, 128, 4, 4), SHAPES["tiny"])
LOOK = Look(Window(100, 500), Fraction(4))
CLOSE_ENOUGH = 1e-5


def noise(frames: int, seed: int, fps: int, width: int = 32, height: int = 32) -> ShownClip:
    """A clip of nothing in particular."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)
    return ShownClip(pixels, tuple(Fraction(i, fps) for i in range(frames)))


def prompt(frames: int) -> tuple[PromptPiece, ...]:
    return PromptPiece(COARSE, noise(frames, 1, 2)), PromptPiece(
        Piece("prompt", "Which colour flashes while the red circle is shown?")
    )


def thought(length: int) -> PromptPiece:
    """What a policy writes up to its look."""
    return PromptPiece(Piece("policy", f"<think>{'It flashes. ' * length}<span>1.00 - 5.00</span><fps>4</fps>"))


def clip(seed: int) -> PromptPiece:
    return PromptPiece(Piece("runtime", look=LOOK), noise(16, seed, 4))


def timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    began = time.process_time()
    logits = work()
    return time.process_time() - began, logits


class AsItComes:
    """The same weights under transformers' own attention and positions; rows are padded, as its users do it."""

    def __init__(self, engine: TransformersEngine) -> None:
        self._layout, self._vocabulary = engine.student.layout, engine.student.vocabulary
        self._model = copy.deepcopy(engine.student.model)
        self._model.set_attn_implementation("sdpa")

    def prefill(self, rows: list[tuple[PromptPiece, ...]]) -> torch.Tensor:
        transcripts = [self._layout.join(self._layout.stretches(row)) for row in rows]
        longest = max(map(len, transcripts))
        ids = torch.full((len(rows), longest), self._vocabulary.padding)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(transcripts):
            ids[at, longest - len(row) :], mask[at, longest - len(row) :] = torch.from_numpy(row.ids), 1
        self._model.model.rope_deltas = None
        with torch.no_grad():
            return self._model(
                input_ids=ids,
                attention_mask=mask,
                mm_token_type_ids=(ids == self._vocabulary.video_pad).int() * 2,
                pixel_values_videos=normalised(torch.cat([torch.from_numpy(row.patches) for row in transcripts])),
                video_grid_thw=torch.cat([torch.from_numpy(row.grids) for row in transcripts]),
                logits_to_keep=1,
            ).logits[:, -1]


def compare(engine: TransformersEngine, plain: AsItComes, frames: int, rows: int, times: int) -> list[float]:
    """CPU seconds of the injection, and of both ways to go through everything again, medians; an error where logits differ."""
    opening = prompt(frames)
    thoughts = [(thought(1 + row % 4),) for row in range(rows)]
    clips = [(clip(row),) for row in range(rows)]
    contexts = [(*opening, *thoughts[row], *clips[row]) for row in range(rows)]
    took: list[list[float]] = []
    for _ in range(times):
        conversation = engine.converse([Sampling()] * rows)
        conversation.put(dict.fromkeys(range(rows), opening))
        conversation.put(dict(enumerate(thoughts)))
        works: list[Callable[[], torch.Tensor]] = [
            lambda conversation=conversation: stacked(conversation.put(dict(enumerate(clips)))),
            lambda: stacked(engine.converse([Sampling()] * rows).put(dict(enumerate(contexts)))),
            lambda: plain.prefill(contexts),
        ]
        results = [timed(work) for work in works]
        took.append([cpu_s for cpu_s, _ in results])
        apart = max(float((logits - results[0][1]).abs().max()) for _, logits in results)
        assert apart <= CLOSE_ENOUGH, f"logits differ by {apart}"
    return [statistics.median(each) for each in zip(*took, strict=True)]


def stacked(logits: dict[int, torch.Tensor]) -> torch.Tensor:
    return torch.stack([logits[row] for row in sorted(logits)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[list[object]] = []
    for shape in STUDENT_SHAPES:
        engine = TransformersEngine(make_student(shape, ["Which colour flashes while the red circle is shown? It flashes."]))
        plain = AsItComes(engine)
        numbers = sum(weights.numel() for weights in engine.student.model.parameters())
        compare(engine, plain, 16, 2, 2)  # warm
        for frames, rollouts, target in [*((frames, 1, x) for frames, x in TARGETS.items()), (128, GROUP, GROUP_TARGET)]:
            injected, anew, as_it_comes = compare(engine, plain, frames, rollouts, arguments.times)
            ms = [f"{1e3 * s:.1f}" for s in (injected, as_it_comes, anew)]
            times = [f"{as_it_comes / injected:.1f}", f"{anew / injected:.1f}", target]
            rows.append([f"{numbers / 1e6:.1f} M", frames, rollouts, *ms, *times])
    columns = ["student", "coarse frames", "rollouts", "injection", "anew", "anew, our attention", "x", "x ours", "wanted x"]
    show_table("The clip of a look, put behind what is kept: CPU ms", f"{COMMAND} --times {arguments.times}", columns, rows)


if __name__ == "__main__":
    main()
