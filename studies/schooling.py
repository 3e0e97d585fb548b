"""A student from scratch that has lessons before it imitates a teacher: shared by studies of two places and of levels.

Lessons and trajectories are packed corpora, and are learnt by the ordinary trainer: captions until most are right, then reading
until most is right, with a rest of captions so that they aren't forgotten, then what the worlds are about.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from sys import stderr
from typing import Any

from dmforge.generators.synthetic.lessons.lesson_corpora import (
    Teacher,
    faultless,
    pack_captions,
    pack_readings,
    pack_tasks,
    pack_trajectories,
)
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from dmforge.trainers import sft
from dmforge.trainers.evaluate import Evaluation, evaluate
from dmforge.trainers.evaluation_settings import read_evaluation
from dmforge.trainers.training_settings import read_sft

HELD_OUT, READ, EXAMINED = 900, 500, 990
"""Added to the seed of worlds: of lessons' exams, of worlds that are only read about, of those that it is examined in."""
CAPTION_EXAMS, READING_EXAMS = 40, 100
"""Worlds whose lessons are held out."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a student is taught."""

    worlds: WorldSettings
    """Those that are imitated; captions show the same ones."""
    clips: Clips
    steps: int
    """Of imitation."""
    captions: float = 0.75
    """The share of held-out captions, three and a name at once, that ends this lesson; 0 leaves it out."""
    reading: float = 0.8
    """The share of held-out readings that ends this lesson; 0 leaves it out."""
    rehearsed: float = 0.1
    """The weight of readings in imitation, so that they aren't forgotten."""
    teacher: Teacher = faultless
    """Whom it imitates; lessons are the same whoever that is."""
    limits: Mapping[str, int] = field(default_factory=lambda: {"captions": 500, "reading": 600})
    """The most steps of each lesson."""
    readings: int = 9_600
    max_looks: int = 1


@dataclass(slots=True)
class Schooling:
    """A student on its way through a course."""

    folder: Path
    corpora: Path
    """Where packed corpora lie, for other students too."""
    course: Course
    seed: int
    checkpoint: Path | None = None
    cpu_s: dict[str, float] = field(default_factory=dict[str, float])
    """CPU seconds of each lesson: of the training itself, and `decoding` of its workers."""

    def run(self) -> Path:
        """All lessons, then imitation; the checkpoint."""
        course, worlds = self.course, self.course.worlds
        cot = pack_trajectories(self._corpus("cot"), worlds, course.clips, course.teacher)
        captions = pack_captions(self._corpus("captions"), worlds, course.clips)
        readings = pack_readings(self._corpus("readings"), self._worlds(course.readings, READ), course.clips)
        vocabulary = [cot, captions, readings]
        if course.captions:
            held_out = pack_captions(self._corpus("captions-exam"), self._worlds(CAPTION_EXAMS, HELD_OUT), course.clips)
            self._learn("captions", {captions: 1.0}, 32, vocabulary, (held_out, course.captions))
        if course.reading:
            held_out = pack_readings(self._corpus("readings-exam"), self._worlds(READING_EXAMS, HELD_OUT), course.clips)
            share_of_captions = {captions: 0.15} if course.captions else {}
            self._learn("reading", {readings: 1.0, **share_of_captions}, 64, vocabulary, (held_out, course.reading))
        rehearsed = {readings: course.rehearsed} if course.rehearsed else {}
        return self._learn("looks", {cot: 1.0, **rehearsed}, 20 if rehearsed else 16, vocabulary)

    def exam(self, worlds: int, checkpoint: Path) -> Evaluation:
        """How it does in worlds that no lesson was about."""
        settings: dict[str, Any] = {
            "checkpoint": str(checkpoint), "corpora": [str(self.exam_corpus(worlds))], "out": str(self.folder / "exam"),
            "device": "cpu", "batch_rows": 64, "roll": {"max_looks": self.course.max_looks, "max_tokens": 160},
        }  # fmt: skip
        return evaluate(read_evaluation(settings))

    def exam_corpus(self, worlds: int) -> Path:
        """Tasks about unseen worlds."""
        return pack_tasks(self._corpus(f"exam-{worlds}"), self.worlds_of_exam(worlds), self.course.clips)

    def worlds_of_exam(self, worlds: int) -> WorldSettings:
        """Worlds that no lesson is about; the same ones for all students."""
        return self._worlds(worlds, EXAMINED)

    def _learn(
        self,
        lesson: str,
        weights: Mapping[Path, float],
        samples: int,
        vocabulary: Sequence[Path],
        until: tuple[Path, float] | None = None,
    ) -> Path:
        place = str(self.checkpoint) if self.checkpoint else ""
        model = {"checkpoint": place} if place else {"from_config": "mote", "vocabulary": list(map(str, vocabulary))}
        gate = {"corpus": str(until[0]), "exact": until[1]} if until else None
        settings: dict[str, Any] = {
            "out": str(self.folder / lesson), "model": model,
            "data": {
                "corpora": [{"place": str(corpus), "weight": weight} for corpus, weight in weights.items()],
                "max_tokens": 100_000, "max_samples": samples, "verify": False,
            },
            "training": {
                "steps": self.course.limits.get(lesson, self.course.steps),
                "learning_rate": 2e-3, "warmup_steps": 40, "weight_decay": 0.01,
                "schedule": "constant_with_warmup" if until else "cosine", "seed": self.seed,
            },
            "saving": {"device": "cpu", "save_every": 10_000, "log_every": 50}, **({"until": gate} if gate else {}),
        }  # fmt: skip
        began_s, began_decoding_s = time.process_time(), _seconds_of_children()
        with redirect_stdout(stderr):
            result = sft.train(read_sft(settings))
        self.cpu_s[lesson] = round(time.process_time() - began_s, 1)
        decoding_s = _seconds_of_children() - began_decoding_s
        self.cpu_s["decoding"] = round(self.cpu_s.get("decoding", 0.0) + decoding_s, 1)
        scores = [entry["exact"] for entry in map(json.loads, (self.folder / lesson / "log.jsonl").open()) if "exact" in entry]
        print(f"{self.folder.name}: {lesson}, {result.steps} steps, {self.cpu_s[lesson]:.0f} CPU s, {scores[-1:]}", flush=True)
        self.checkpoint = result.checkpoint
        return result.checkpoint

    def _corpus(self, name: str) -> Path:
        return self.corpora / name

    def _worlds(self, videos: int, added_seed: int) -> WorldSettings:
        worlds = self.course.worlds
        # exams are the same for all seeds
        seed = added_seed if added_seed != READ else worlds.seed + added_seed
        return worlds.model_copy(update={"videos": videos, "seed": seed})


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
