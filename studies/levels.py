"""What do harder worlds leave of it, and what do lessons mend? A student from scratch imitates a faultless teacher.

Level 0 is one object, seen from near, that flickers; each further level turns one knob (`imagine.py` of the worlds).
Worlds, student, frames and the number of steps are the same in all arms, which add one thing after the other:

    plain       the thought says only where the object is
    log         it says first which shape is where, patch by patch
    captions    a lesson before that: what single patches of the overview show; a flicker is not learnt so
    lessons     another one between them: reading, which is text alone

    python -m studies.levels --folder levels --levels 3 --arms lessons --seeds 3
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from dmforge.generators.student.tiny import SHAPES
from dmforge.generators.synthetic.lessons.lesson_corpora import faultless_thoughts
from dmforge.generators.synthetic.lessons.thoughts import WorldThoughts
from dmforge.generators.synthetic.lessons.world_packing import world_video_id
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.imagine import KNOBS, LEVELS, knobs_of
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from dmforge.schemas.ids import show as show_id
from dmforge.schemas.looks import Window
from dmforge.schemas.scoring import iou
from dmforge.trainers.evaluation_rows import EvaluationRow
from studies.schooling import Course, Schooling, kept, totals
from tests.support.tables import show

COMMAND = "python -m studies.levels"
CLIPS = Clips(coarse_fps=Fraction(1), coarse_frames=64, coarse_tokens=6, look_frames=64, look_tokens=32, look_size="floor")
"""As in recipes/study.toml: frames of 32 x 32."""
USUAL = "mote"
IMITATED = 100
"""The seed of worlds that are imitated; counted up from."""


def plain_thoughts(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """What a teacher thinks who doesn't say what else it sees."""
    return replace(faultless_thoughts(script, question, clips), overview="")


ARMS: dict[str, dict[str, Any]] = {
    "plain": {"captions": 0.0, "reading": 0.0, "teacher": plain_thoughts},
    "log": {"captions": 0.0, "reading": 0.0},
    "captions": {"reading": 0.0},
    "lessons": {},
}
"""What of a course differs."""


def done(
    folder: Path, levels: list[int], arms: list[str], students: list[str], seeds: int, **size: int
) -> Iterator[dict[str, Any]]:
    """What each student does in the exam."""
    for student, level, arm, seed in product(students, levels, arms, range(seeds)):
        place = folder if student == USUAL else folder / student
        yield kept(place / f"{level}-{arm}-{seed}.json", size, partial(measured, place, student, level, arm, seed, size))


def measured(folder: Path, student: str, level: int, arm: str, seed: int, size: dict[str, int]) -> dict[str, Any]:
    """One student, from its first lesson to its exam."""
    imitated = WorldSettings(videos=size["worlds"], study=True, knobs=knobs_of(level), seed=IMITATED + seed)
    size_of_course = {"steps": size["steps"], "lesson_steps": size["lesson_steps"]}
    course = Course(imitated, CLIPS, **size_of_course, captions_of_looks=False, student=student, **ARMS[arm])
    corpora = folder / f"corpora-{level}-{seed}{'-plain' if arm == 'plain' else ''}"
    schooling = Schooling(folder / f"{level}-{arm}-{seed}", corpora, course, seed)
    evaluation = schooling.exam(size["exam"], schooling.run())
    figures = {name: figure.value for name, figure in evaluation.figures.items()}
    figures["right_object"] = right_object(evaluation.rows, schooling.worlds_of_exam(size["exam"]))
    return {"student": student, "level": level, "arm": arm, "seed": seed, "cpu_s": schooling.cpu_s, "figures": figures}


def right_object(rows: Sequence[EvaluationRow], worlds: WorldSettings) -> float:
    """The share of looks that lie no better on another object than on the one that was asked for."""
    scripts = {show_id("video", world_video_id(worlds, index)): worlds.script(index) for index in range(worlds.videos)}
    return sum(is_right_object(row, scripts[row.video]) for row in rows) / len(rows)


def is_right_object(row: EvaluationRow, script: Script) -> bool:
    if row.window_cs is None:
        return False
    window, asked_name = Window(*row.window_cs), script.visits[0].name
    scores = [(iou((window,), (visit.window,)), visit.name == asked_name) for visit in script.visits]
    best_score, is_asked_for = max(scores)
    return is_asked_for and best_score > 0


def row_of(result: dict[str, Any]) -> list[object]:
    figures, level = result["figures"], result["level"]
    names = ("miou", "right_object", "format", "accuracy", "density_error")
    figure_texts = [f"{figures[name]:.3f}" if name in figures else "" for name in names]
    knob = KNOBS[level - 1] if level else "one object"
    return [result.get("student", USUAL), level, knob, result["arm"], result["seed"], *figure_texts, *totals(result["cpu_s"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where everything goes, and goes on")
    parser.add_argument("--levels", type=int, nargs="+", default=list(range(len(LEVELS))))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--students", nargs="+", choices=list(SHAPES), default=[USUAL], help="shapes of students from scratch")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--worlds", type=int, default=2000, help="that are imitated")
    parser.add_argument("--steps", type=int, default=1400, help="of imitation")
    parser.add_argument("--lesson-steps", type=int, default=600, help="at most, of each lesson")
    parser.add_argument("--exam", type=int, default=192, help="worlds to be examined in")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row_of(result) for result in done(**vars(arguments))]
    columns = [
        "student", "level", "added", "arm", "seed", "mIoU", "right object", "format", "accuracy", "density error, fps",
        "CPU s of training", "of decoding",
    ]  # fmt: skip
    show("What harder worlds leave of it, and what lessons mend", COMMAND, columns, rows)


if __name__ == "__main__":
    main()
