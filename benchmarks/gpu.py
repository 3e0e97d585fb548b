"""What a student costs on a GPU: a step of SFT, rollouts by injection against going through everything again, an update of
SD-GRPO with a prompt that all rollouts share against one for each.

Random weights, random pixels, the shape of Qwen3-VL-4B from its numbers: nothing is downloaded, and of dmforge only what
needs torch and transformers is imported. From a checkout, without installing:

    PYTHONPATH=.typing:. python -m benchmarks.gpu --shape 4b --device cuda
    PYTHONPATH=.typing:. python -m benchmarks.gpu --shape tiny --device cpu

Each row is printed as soon as it is known, and what would not begin within `--minutes` is left out: a machine that is there for
ten minutes shows something whatever happens. The tables come at the end.

FLOPs of a training step, for the MFU: 6 x (weights that a token passes through) for each token, of the tower for each
patch; the output layer only where a token is learnt; attention 12 x layers x width x sum of length^2, halved where it is
causal. What gradient checkpointing computes twice is counted once.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.student.attention import use_attention
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.patchify import FRAMES, MERGE, PATCH
from dmforge.generators.student.positions import next_position
from dmforge.generators.student.tag_tokens import add_tags
from dmforge.generators.student.tiny import SHAPES, make_config, make_tokenizer
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from dmforge.trainers.batches import ForwardBatch, logits_of, pack, summed_loss
from dmforge.trainers.sdgrpo.branches import Continuation, GroupedForward, PromptGroup, forward_of, log_probs
from dmforge.trainers.sdgrpo.objective import objective
from tests.support.tables import show as show_table

COMMAND = "python -m benchmarks.gpu"
TEXTS = ["Which colour flashes while the red circle is shown? It flashes red, then it is blue."]
LOOK = Look(Window(1000, 1800), Fraction(4))
PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0}
"""Dense bf16, as the makers say."""


@dataclass(frozen=True, slots=True)
class Case:
    """How much is shown and written."""

    coarse_frames: int
    coarse_size: tuple[int, int]
    look_frames: int
    look_size: tuple[int, int]
    tokens: int
    """That a rollout writes, before and after the look together."""


CASES = {"4b": Case(256, (416, 224), 32, (672, 384), 256), "tiny": Case(64, (32, 32), 16, (32, 32), 32)}
"""For `4b` a video of 16:9 beyond two minutes under the default clips, and a look of 8 s at 4 fps."""


def config_4b(vocabulary: Vocabulary) -> Qwen3VLConfig:
    """Qwen3-VL-4B by its numbers."""
    return Qwen3VLConfig(
        text_config={
            "vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 262_144,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True, "mrope_section": [24, 20, 20],
            },
            "pad_token_id": vocabulary.padding, "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": PATCH,
            "spatial_merge_size": MERGE, "temporal_patch_size": FRAMES, "out_hidden_size": 2560,
            "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17],
        },
        image_token_id=vocabulary.id("<|image_pad|>"), video_token_id=vocabulary.video_pad,
        vision_start_token_id=vocabulary.id("<|vision_start|>"), vision_end_token_id=vocabulary.id("<|vision_end|>"),
        tie_word_embeddings=True,
    )  # fmt: skip


def student_of(shape: str, device: str, dtype: torch.dtype) -> Student:
    """Random weights, made where they are used."""
    vocabulary = Vocabulary(make_tokenizer(TEXTS), where=shape)
    config = config_4b(vocabulary) if shape == "4b" else make_config(SHAPES[shape], vocabulary)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Qwen3VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    use_attention(model)
    add_tags(model, vocabulary)
    return Student(model.to(device).eval(), vocabulary, shape)


def noise(frames: int, size: tuple[int, int], fps: int, seed: int) -> ShownClip:
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)
    return ShownClip(pixels, tuple(Fraction(i, fps) for i in range(frames)))


def opening(case: Case) -> tuple[PromptPiece, ...]:
    return PromptPiece(COARSE, noise(case.coarse_frames, case.coarse_size, 2, 1)), PromptPiece(Piece("prompt", TEXTS[0]))


def looked(case: Case, seed: int) -> tuple[PromptPiece, ...]:
    """What a policy wrote up to its look, and the clip."""
    words = Piece("policy", f"<think>{'It flashes. ' * 8}<span>10.00 - 18.00</span><fps>4</fps>")
    return PromptPiece(words), PromptPiece(Piece("runtime", look=LOOK), noise(case.look_frames, case.look_size, 4, seed))


def seconds(device: torch.device, work: Callable[[], Any]) -> float:
    settle(device)
    began = time.perf_counter()
    work()
    settle(device)
    return time.perf_counter() - began


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gb(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")


def written_gb(peak: float) -> str:
    return "-" if math.isnan(peak) else f"{peak:.1f}"


def fresh_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def rollouts(student: Student, case: Case, rows: int, times: int) -> list[object]:
    """Rows of one prompt: shown it, decoded, shown a clip, decoded on."""
    engine, device = TransformersEngine(student), student.device
    # random weights end their turn at random: here every row writes as much as it may
    ends = torch.tensor([student.vocabulary.end, student.vocabulary.look_end], device=device)
    engine.banned = torch.cat([engine.banned, ends])
    prompt = opening(case)
    clips = [looked(case, row) for row in range(rows)]
    sampling = [Sampling(seed=row, max_tokens=case.tokens) for row in range(rows)]
    closing = dict.fromkeys(range(rows), (PromptPiece(Piece("policy", "</think>")),))
    took: list[list[float]] = []
    for _ in range(times + 1):
        fresh_peak(device)
        conversation = engine.converse(sampling)
        prompt_s = seconds(device, lambda conversation=conversation: conversation.put(dict.fromkeys(range(rows), prompt)))
        injected_s = seconds(device, lambda conversation=conversation: conversation.put(dict(enumerate(clips))))
        decoded_s = seconds(device, lambda conversation=conversation: conversation.step(closing, ()))
        peak = peak_gb(device)
        del conversation
        fresh_peak(device)
        contexts = {row: (*prompt, *clips[row]) for row in range(rows)}
        anew_s = seconds(device, lambda contexts=contexts: engine.converse(sampling).put(contexts))
        took.append([prompt_s, injected_s, decoded_s, anew_s, peak])
    prompt_s, injected_s, decoded_s, anew_s, peak = (statistics.median(each) for each in zip(*took[1:], strict=True))
    tokens = rows * case.tokens
    cached_rate, anew_rate = (tokens / (prompt_s + decoded_s + clip_s) for clip_s in (injected_s, anew_s))
    numbers = [prompt_s, decoded_s, injected_s, anew_s, anew_s / injected_s, cached_rate, anew_rate]
    return [rows, *(f"{number:.2f}" for number in numbers), written_gb(peak)]


def flops(student: Student, batch: ForwardBatch) -> float:
    """Of one training step: forward and backward."""
    model, text = student.model.model, student.model.config.text_config
    eye = student.model.config.vision_config
    tokens, patches = batch.input_ids.numel(), len(batch.patches)
    through_text = sum(p.numel() for p in model.language_model.layers.parameters())
    through_eye = sum(p.numel() for name, p in model.visual.named_parameters() if "merger" not in name)
    mergers = sum(p.numel() for name, p in model.visual.named_parameters() if "merger" in name)
    starts = [*torch.nonzero(batch.position_ids[0, 0] == 0)[:, 0].tolist(), tokens]
    lengths = [b - a for a, b in pairwise(starts)]
    frames = [h * w for t, h, w in batch.grids.tolist() for _ in range(t)]
    dense = 6 * (through_text * tokens + through_eye * patches + mergers * patches / MERGE**2)
    learnt = 6 * text.vocab_size * text.hidden_size * batch.learnt_columns.numel()
    causal = 6 * text.num_hidden_layers * text.num_attention_heads * text.head_dim * sum(n * n for n in lengths)
    vision = 12 * eye.depth * eye.hidden_size * sum(n * n for n in frames)
    return dense + learnt + causal + vision


def sft(student: Student, case: Case, args: argparse.Namespace, *, checkpointing: bool) -> list[object]:
    """A step: forward, loss over policy tokens, backward, AdamW."""
    device, model = student.device, student.model
    words = f"{'It flashes. ' * 40}</think><answer>red</answer>"
    pieces = (*opening(case), *looked(case, 1), PromptPiece(Piece("policy", words)))
    transcript = student.layout.join(student.layout.transcript(pieces))
    batch = pack([transcript] * args.samples).to(device)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device.type == "cuda")
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.weights == "float32" and device.type == "cuda")

    def step() -> None:
        with autocast:
            logits = logits_of(model, batch)
        (summed_loss(logits, batch) / batch.items).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    fresh_peak(device)
    try:
        step()
        took_s = statistics.median(seconds(device, step) for _ in range(args.times))
    except torch.cuda.OutOfMemoryError:
        return [args.weights, checkpointing, args.samples, batch.input_ids.numel(), batch.items, "out of memory", "", "", ""]
    tera = flops(student, batch) / 1e12
    mfu = f"{tera / took_s / args.peak_tflops:.3f}" if args.peak_tflops else "-"
    cells = [batch.input_ids.numel(), batch.items, f"{took_s:.3f}", f"{tera:.1f}", mfu, written_gb(peak_gb(device))]
    return [args.weights, checkpointing, args.samples, *cells]


def update(student: Student, case: Case, args: argparse.Namespace, rows: int) -> list[object]:
    """Forward and backward of the rollouts of one prompt: with it once in their row, and with it before each."""
    layout, device, model = student.layout, student.device, student.model
    prompt = layout.join(layout.stretches(opening(case)))
    answer = PromptPiece(Piece("policy", f"{'It flashes. ' * 40}</think><answer>red</answer>"))
    behind = next_position(prompt.positions, 0)
    branches = [_branch(layout.join(layout.stretches((*looked(case, row), answer)), behind), rows) for row in range(rows)]
    shared = [forward_of([PromptGroup(prompt, tuple(branches))])]
    apart = [forward_of([PromptGroup(prompt, (branch,))]) for branch in branches]
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.weights == "float32" and device.type == "cuda")

    def learn(forwards: list[GroupedForward]) -> None:
        for forward in forwards:
            here = forward.to(device)
            with autocast:
                new_log_probs, _ = log_probs(model, here, 1.0)
            (-objective(new_log_probs, new_log_probs.detach(), here.learnt, SimpleNamespace(epsilon=0.2))).backward()
        model.zero_grad(set_to_none=True)

    cells: list[object] = [rows]
    for forwards in (shared, apart):
        fresh_peak(device)
        try:
            learn(forwards)
            took_s = statistics.median(seconds(device, lambda forwards=forwards: learn(forwards)) for _ in range(args.times))
            cells += [
                sum(forward.batch.input_ids.numel() for forward in forwards),
                f"{took_s:.3f}",
                written_gb(peak_gb(device)),
            ]
        except torch.cuda.OutOfMemoryError:
            cells += ["", "out of memory", ""]
    return cells


def _branch(sequence: LaidOutTranscript, rows: int) -> Continuation:
    tokens = int(sequence.trained.sum())
    weights = np.full(tokens, 1 / tokens / rows, np.float32)
    return Continuation(sequence, np.zeros(tokens), np.ones(tokens, np.float32), weights, np.zeros(tokens, bool))


@dataclass(slots=True)
class Measurements:
    """Rows of a table, each printed when it is known."""

    title: str
    columns: list[str]
    rows: list[list[object]] = field(default_factory=list[list[object]])

    def add(self, row: list[object]) -> None:
        self.rows.append(row)
        print(json.dumps({"measured": self.title} | dict(zip(self.columns, row, strict=True))), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(CASES), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=[8, 1], help="rollouts side by side")
    parser.add_argument("--samples", type=int, default=1, help="transcripts packed into a step of SFT")
    parser.add_argument("--weights", choices=["float32", "bfloat16"], default="float32", help="float32 computes in bf16")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for the MFU; known ones need not be told")
    parser.add_argument("--minutes", type=float, default=7, help="after which nothing more is begun")
    args = parser.parse_args()
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    if args.peak_tflops is None:
        args.peak_tflops = next((peak for gpu, peak in PEAK_TFLOPS.items() if gpu in name), None)
    print(
        json.dumps({"device": name, "torch": torch.__version__, "shape": args.shape, "peak_tflops": args.peak_tflops}),
        flush=True,
    )
    tables = measured(args, CASES[args.shape], name)
    if not tables:
        raise SystemExit("there was no time for anything: give it more --minutes")
    for table in tables:
        show_table(table.title, f"{COMMAND} {' '.join(sys.argv[1:])}", table.columns, table.rows)


def measured(args: argparse.Namespace, case: Case, name: str) -> list[Measurements]:
    """All tables, as far as time reaches: first what is asked for most."""
    until = time.monotonic() + 60 * args.minutes
    steps = Measurements(
        f"A step of SFT, {name}",
        ["weights", "checkpointing", "samples", "tokens", "learnt", "s a step", "TFLOP", "MFU", "peak GB"],
    )
    rolled = Measurements(
        f"Rollouts of {case.tokens} tokens, {name}",
        [
            "rollouts",
            "prompt s",
            "decoding s",
            "injection s",
            "anew s",
            "anew / injection",
            "tokens/s",
            "tokens/s anew",
            "peak GB",
        ],
    )
    updates = Measurements(
        f"An update of SD-GRPO, {name}",
        ["rollouts", "tokens", "s, prompt shared", "peak GB", "tokens apart", "s, prompt for each", "peak GB apart"],
    )
    student = student_of(args.shape, args.device, getattr(torch, args.weights))
    work: list[tuple[Measurements, Callable[[], list[object]]]] = [
        (steps, lambda: sft(student, case, args, checkpointing=True)),
        *((updates, partial(update, student, case, args, rows)) for rows in args.rows),
        (steps, lambda: sft(student, case, args, checkpointing=False)),
    ]
    half = torch.bfloat16 if args.device != "cpu" else torch.float32
    for table, measure in work:
        if time.monotonic() < until:
            table.add(measure())
            fresh_peak(student.device)
    student.model.eval().to(half)
    for rows in args.rows:
        if time.monotonic() < until:
            rolled.add(rollouts(student, case, rows, args.times))
    return [table for table in (steps, updates, rolled) if table.rows]


if __name__ == "__main__":
    main()
