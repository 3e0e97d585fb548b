"""One student that practises, and what it does on held-out worlds on its way: what studies/credit.py makes many of."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.curation.shards.examples import Example
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.tiny import SHAPES, make_student
from dmforge.schemas.looks import Look
from dmforge.schemas.scoring import answer_score, window_score
from dmforge.trainers import sft
from dmforge.trainers.evaluation_rows import mean_density_error, target_looks_of, task_of
from dmforge.trainers.sdgrpo import sdgrpo
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings
from dmforge.trainers.training_settings import SftSettings
from studies.journeys import Point
from tests.support import flicker

MAX_TOKENS = 48
"""That a policy may write."""
AT_ONCE = 48
TEXTS = 1000
"""Samples whose texts the tokenizer learns from."""


class HeldOut:
    """Worlds that nobody practises on, with their coarse clips ready."""

    def __init__(self, place: Path, max_looks: int = 1, max_tokens: int = MAX_TOKENS) -> None:
        corpus = Corpus(str(place))
        self._max_looks, self._sampling = max_looks, Sampling(temperature=0, max_tokens=max_tokens)
        self._requests = [self._quest(example, corpus) for example in corpus.read(range(len(corpus)))]

    def _quest(self, example: Example, corpus: Corpus) -> tuple[ShardSample, RolloutRequest]:
        footage = footage_of(example, corpus.clips)
        prompt = prompt_of(example.sample.transcript.pieces, footage)
        return example.sample, RolloutRequest(prompt, footage, self._sampling)

    def of(self, checkpoint: Path) -> Point:
        """Of one that lies there, before any update."""
        return self.measured(load(str(checkpoint)), 0)

    def measured(self, student: Student, updates: int) -> Point:
        """Greedy, all of them."""
        engine, results = TransformersEngine(student), []
        for first in range(0, len(self._requests), AT_ONCE):
            some = self._requests[first : first + AT_ONCE]
            rolled = roll(engine, [quest for _, quest in some], RolloutLimits(max_looks=self._max_looks))
            results += [(sample, result) for (sample, _), result in zip(some, rolled, strict=True)]
        iou, right, off_fps, formed = [], [], [], []
        for sample, result in results:
            targets = target_looks_of(sample)
            windows = tuple(look.window for look in result.looks)
            score = window_score(windows, tuple(target.window for target in targets), "all") if targets else None
            iou.append(None if score is None else round(float(score), 4))
            right.append(int(answer_score(result.answer, task_of(sample))))
            error = mean_density_error(result.looks, targets)
            off_fps.append(None if error is None else round(error, 4))
            formed.append(int(result.ending == "answered" or (result.ending == "no_look" and not targets)))
        further = _several(results, iou) if self._max_looks > 1 else {}
        return Point(updates, tuple(iou), tuple(right), tuple(off_fps), tuple(formed), further)


def _several(results: Sequence[tuple[ShardSample, RolloutResult]], iou: Sequence[float | None]) -> dict[str, Any]:
    """How many looks too many and too few; and the score of two looks by whether their places lie close together."""
    excess, missed, close, far = [], [], [], []
    for (sample, result), score in zip(results, iou, strict=True):
        targets = target_looks_of(sample)
        excess.append(max(0, len(result.looks) - len(targets)))
        missed.append(max(0, len(targets) - len(result.looks)))
        close.append(score if len(targets) == 2 and _lie_close(targets) else None)
        far.append(score if len(targets) == 2 and not _lie_close(targets) else None)
    return {"excess": tuple(excess), "missed": tuple(missed), "close": tuple(close), "far": tuple(far)}


def _lie_close(targets: Sequence[Look]) -> bool:
    """The gap between two windows is under twice the length of either."""
    first, second = sorted((target.window for target in targets), key=lambda window: window.start_cs)
    return second.start_cs - first.end_cs < 2 * min(window.end_cs - window.start_cs for window in (first, second))


class Watch(TrainerCallback):
    """Measures the student that is trained, without a word to it."""

    def __init__(self, checkpoint: Path, held_out: HeldOut, at: Collection[int]) -> None:
        self._vocabulary, self._held_out, self._at = load(str(checkpoint)).vocabulary, held_out, at
        self.points: list[Point] = []
        self.cpu_s = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step in self._at:
            began = time.process_time()
            student = Student(rest["model"], self._vocabulary, "in training")
            self.points.append(self._held_out.measured(student, state.global_step))
            self.cpu_s += time.process_time() - began


def imitated(folder: Path, worlds: int, steps: int, seed: int, taught_seed: int) -> Path:
    """The checkpoint of a student that imitates the biased teacher; as it lies there, if it does."""
    checkpoint = folder / f"checkpoint-{steps}"
    if checkpoint.exists():
        return checkpoint
    shutil.rmtree(folder, ignore_errors=True)
    taught = flicker.cot(folder / "taught", worlds, taught_seed, flicker.BIASED)
    corpus = Corpus(str(taught))
    examples = corpus.read(range(min(TEXTS, worlds)))
    texts = [piece.text for example in examples for piece in example.sample.transcript.pieces if piece.text]
    make_student(SHAPES["mote"], texts, seed).save(folder / "start")
    settings = {
        "out": str(folder), "model": {"checkpoint": str(folder / "start")},
        "data": {"corpora": [{"place": str(taught)}], "max_tokens": 100_000, "max_samples": 16, "workers": 0},
        "training": {"steps": steps, "learning_rate": 2e-3, "warmup_steps": 40, "weight_decay": 0.01, "seed": seed},
        "saving": {"device": "cpu", "save_every": steps},
    }  # fmt: skip
    return sft.train(SftSettings.model_validate(settings)).checkpoint


@dataclass(frozen=True, slots=True)
class Practice:
    """A training by SD-GRPO."""

    checkpoint: Path
    place: Path
    prompts: int
    seed: int
    at: tuple[int, ...]
    """Updates after which it is measured; the last are all."""
    training: Mapping[str, object]
    """What `[training]` says beside."""
    rewards: Mapping[str, object]
    rollout: Mapping[str, object] = field(default_factory=dict[str, object])
    """What `[rollout]` says beside."""


def practised(practice: Practice, scratch: Path, held_out: HeldOut) -> tuple[tuple[Point, ...], float]:
    """What a student did on its way, and the CPU seconds of its training. Of the training itself nothing is kept."""
    shutil.rmtree(scratch, ignore_errors=True)
    settings = {
        "out": str(scratch), "model": {"checkpoint": str(practice.checkpoint)},
        "data": {"corpora": [{"place": str(practice.place)}], "prompts": practice.prompts, "workers": 0, "verify": False},
        "rollout": {"temperature": 1.0, "max_tokens": MAX_TOKENS, **practice.rollout}, "rewards": practice.rewards,
        "training": {
            "steps": practice.at[-1], "learning_rate": 3e-4, "warmup_steps": 5, "betas": (0.9, 0.95), "beta": 0.0,
            "max_tokens": 100_000, "seed": practice.seed, **practice.training,
        },
        "saving": {"device": "cpu", "save_every": practice.at[-1]},
    }  # fmt: skip
    watch, began = Watch(practice.checkpoint, held_out, practice.at), time.process_time()
    result = sdgrpo.train(SdgrpoSettings.model_validate(settings), [watch])
    if result.stopped_by:  # it is no row
        raise SystemExit(f"stopped by {result.stopped_by}")
    shutil.rmtree(scratch)
    return tuple(watch.points), time.process_time() - began - watch.cpu_s
