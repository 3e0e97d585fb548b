"""A student from scratch that has lessons before it imitates a teacher: shared by studies of two places and of levels.

Lessons and trajectories are packed corpora, and are learnt by the ordinary trainer: captions until most are right, then reading
until most is right, with a rest of captions so that they aren't forgotten, then what the worlds are about.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import write_json
from dmforge.generators.synthetic.lessons.lesson_corpora import (
    Teacher,
    faultless_thoughts,
    pack_captions,
    pack_readings,
    pack_tasks,
    pack_trajectories,
)
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.trainers import sft
from dmforge.trainers.evaluate import Evaluation, evaluate
from dmforge.trainers.evaluation_settings import read_evaluation
from dmforge.trainers.training_settings import read_sft

REHEARSED_CAPTIONS, REHEARSED_READINGS = 0.15, 0.1
"""The weights of captions while reading is learnt, and of readings in imitation: else they are forgotten."""
CAPTION_SAMPLES, READING_SAMPLES, IMITATED_SAMPLES = 32, 32, 10
"""Samples of an update. Twice as many updates from half as many samples teach more in the same time (decisions/0033)."""
READINGS_A_WORLD = 6
"""So many worlds are read about for each that is imitated."""
HELD_OUT, READ, EXAMINED = 900, 500, 990
"""Seeds of worlds: of lessons' exams, what is added for those that are only read about, and of those that it is examined in."""
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
    teacher: Teacher = faultless_thoughts
    """Whom it imitates; lessons are the same whoever that is."""
    lesson_steps: int = 600
    """The most steps of each lesson."""
    max_looks: int = 1
    captions_of_looks: bool = True
    """Whether captions are also those of looks: flashes, flickers."""
    student: str = "mote"
    """The shape of the student."""


@dataclass(slots=True)
class Schooling:
    """A student on its way through a course."""

    folder: Path
    corpora: Path
    """Where packed corpora lie, for other students too."""
    course: Course
    seed: int
    checkpoint: Path | None = None
    cpu_s: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """CPU seconds of each lesson: of the training itself, and of the workers that decode for it."""

    def run(self) -> Path:
        """All lessons, then imitation; the checkpoint."""
        course, worlds = self.course, self.course.worlds
        cot = pack_trajectories(self._corpus("cot"), worlds, course.clips, course.teacher)
        captions = self._pack_captions("captions", worlds)
        read_worlds = self._worlds(READINGS_A_WORLD * worlds.videos, worlds.seed + READ)
        readings = pack_readings(self._corpus("readings"), read_worlds, course.clips)
        vocabulary, imitated = [cot, captions, readings], {cot: 1.0}
        if course.captions:
            held_out = self._pack_captions("captions-exam", self._worlds(CAPTION_EXAMS, HELD_OUT))
            self._learn("captions", {captions: 1.0}, CAPTION_SAMPLES, vocabulary, (held_out, course.captions))
        if course.reading:
            held_out = pack_readings(self._corpus("readings-exam"), self._worlds(READING_EXAMS, HELD_OUT), course.clips)
            read = {readings: 1.0, **({captions: REHEARSED_CAPTIONS} if course.captions else {})}
            self._learn("reading", read, READING_SAMPLES, vocabulary, (held_out, course.reading))
            imitated[readings] = REHEARSED_READINGS
        return self._learn("looks", imitated, IMITATED_SAMPLES, vocabulary)

    def _pack_captions(self, name: str, worlds: WorldSettings) -> Path:
        return pack_captions(self._corpus(name), worlds, self.course.clips, of_looks=self.course.captions_of_looks)

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
        model = (
            {"checkpoint": place} if place else {"from_config": self.course.student, "vocabulary": list(map(str, vocabulary))}
        )
        gate = {"corpus": str(until[0]), "exact": until[1]} if until else None
        settings: dict[str, Any] = {
            "out": str(self.folder / lesson), "model": model,
            "data": {
                "corpora": [{"place": str(corpus), "weight": weight} for corpus, weight in weights.items()],
                "max_tokens": 100_000, "max_samples": samples, "verify": False,
            },
            "training": {
                "steps": self.course.lesson_steps if until else self.course.steps,
                "learning_rate": 2e-3, "warmup_steps": 40, "weight_decay": 0.01,
                "schedule": "constant_with_warmup" if until else "cosine", "seed": self.seed,
            },
            "saving": {"device": "cpu", "save_every": 10_000, "log_every": 50}, **({"until": gate} if gate else {}),
        }  # fmt: skip
        began_s, began_decoding_s = time.process_time(), _seconds_of_children()
        result = sft.train(read_sft(settings))
        if result.stopped_by:
            raise SystemExit(f"stopped by {result.stopped_by}")
        spent_s = round(time.process_time() - began_s, 1), round(_seconds_of_children() - began_decoding_s, 1)
        self.checkpoint, self.cpu_s[lesson] = result.checkpoint, self._first_time(lesson, spent_s)
        exact = f", {result.log['exact']:.0%} exact" if "exact" in result.log else ""
        print(f"{self.folder.name}: {lesson}, {result.steps} steps, {self.cpu_s[lesson][0]:.0f} CPU s{exact}", flush=True)
        return result.checkpoint

    def _first_time(self, lesson: str, spent_s: tuple[float, float]) -> tuple[float, float]:
        """What a lesson has cost, which a study that goes on finds done and pays nothing for."""
        bill = self.folder / lesson / "cpu_s.json"
        if not bill.exists():
            write_json(bill, spent_s)
        training_s, decoding_s = json.loads(bill.read_text())
        return training_s, decoding_s

    def _corpus(self, name: str) -> Path:
        return self.corpora / name

    def _worlds(self, videos: int, seed: int) -> WorldSettings:
        return self.course.worlds.model_copy(update={"videos": videos, "seed": seed})


def kept(path: Path, size: dict[str, int], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured once, and is not measured again; refused if it was of another size."""
    if not path.exists():
        write_json(path, {"size": size, **measure()})
    stored = json.loads(path.read_text())
    if stored["size"] != size:
        raise InputError("it is of another size", where=str(path), hint="name another folder")
    return stored


def totals(cpu_s: dict[str, Sequence[float]]) -> list[str]:
    """CPU seconds of all lessons: of training, and of decoding for it."""
    return [f"{sum(part):.0f}" for part in zip(*cpu_s.values(), strict=True)]


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
