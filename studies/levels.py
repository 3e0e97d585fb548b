"""What do harder worlds leave of it, and what do lessons mend? A student from scratch imitates a faultless teacher.

Level 0 is one object, seen from near, that flickers; each further level turns one knob (`imagine.py` of the worlds).
Worlds, student, frames and the number of steps are the same in all arms, which add one thing after the other:

    plain       the thought says only where the object is
    log         it says first which shape is where, patch by patch
    captions    a lesson before that: what single patches show
    lessons     another one between them: reading, which is text alone

    python -m studies.levels --folder levels --levels 3 --arms lessons --seeds 3
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from dmforge.curation.io.atomic import write_json
from dmforge.generators.synthetic.lessons.lesson_corpora import faultless
from dmforge.generators.synthetic.lessons.thoughts import WorldThoughts
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.imagine import KNOBS, LEVELS, knobs_of
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Window
from dmforge.schemas.scoring import iou
from studies.schooling import Course, Schooling
from tests.support.tables import show

COMMAND = "python -m studies.levels"
CLIPS = Clips(coarse_fps=Fraction(1), coarse_frames=64, coarse_tokens=6, look_frames=64, look_tokens=32, look_size="floor")
"""As in recipes/study.toml: frames of 32 x 32."""
ARMS: dict[str, dict[str, Any]] = {
    "plain": {"captions": 0.0, "reading": 0.0},
    "log": {"captions": 0.0, "reading": 0.0},
    "captions": {"reading": 0.0},
    "lessons": {},
}
IMITATED = 100
"""The seed of worlds that are imitated; counted up from."""


def plain(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """What a teacher thinks who doesn't say what else it sees."""
    return replace(faultless(script, question, clips), overview="")


def done(
    folder: Path, levels: list[int], arms: list[str], seeds: int, worlds: int, steps: int, exam: int
) -> Iterator[dict[str, Any]]:
    """What each student does in the exam."""
    for level in levels:
        for arm in arms:
            for seed in range(seeds):
                result = folder / f"{level}-{arm}-{seed}.json"
                if not result.exists():
                    imitated = WorldSettings(videos=worlds, study=True, knobs=knobs_of(level), seed=IMITATED + seed)
                    teacher = plain if arm == "plain" else faultless
                    course = Course(imitated, CLIPS, steps, teacher=teacher, **ARMS[arm])
                    corpora = folder / f"corpora-{level}-{seed}{'-plain' if arm == 'plain' else ''}"
                    schooling = Schooling(folder / f"{level}-{arm}-{seed}", corpora, course, seed)
                    evaluation = schooling.exam(exam, schooling.run())
                    values = {name: figure.value for name, figure in evaluation.figures.items()}
                    rows = map(json.loads, (schooling.folder / "exam/rows.jsonl").open())
                    values["right_object"] = right_object(list(rows), schooling.worlds_of_exam(exam))
                    write_json(result, {"level": level, "arm": arm, "seed": seed, "cpu_s": schooling.cpu_s, "figures": values})
                yield json.loads(result.read_text())


def right_object(rows: list[dict[str, Any]], worlds: WorldSettings) -> float:
    """The share of looks that lie no better on another object than on the one that was asked for."""
    scripts = {str(worlds.script(index).seed): worlds.script(index) for index in range(worlds.videos)}
    verdicts: list[bool] = []
    for row, script in zip(rows, scripts.values(), strict=True):
        windows = (Window(*row["window_cs"]),) if row["window_cs"] else ()
        score_by_name = {script.visits[0].name: 0.0}
        for visit in script.visits:
            score = float(iou(windows, (visit.window,))) if windows else 0.0
            score_by_name[visit.name] = max(score_by_name.get(visit.name, 0.0), score)
        verdicts.append(score_by_name[script.visits[0].name] >= max(score_by_name.values()) > 0)
    return sum(verdicts) / len(verdicts)


def row_of(result: dict[str, Any]) -> list[object]:
    figures, cpu_s = result["figures"], result["cpu_s"]
    names = ("miou", "right_object", "format", "accuracy", "density_error")
    level = result["level"]
    knob = KNOBS[level - 1] if level else "one object"
    training_s = sum(cpu_s.values()) - cpu_s["decoding"]
    measured = [f"{figures[name]:.3f}" if name in figures else "" for name in names]
    return [level, knob, result["arm"], result["seed"], *measured, f"{training_s:.0f}", f"{cpu_s['decoding']:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where everything goes, and goes on")
    parser.add_argument("--levels", type=int, nargs="+", default=list(range(len(LEVELS))))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--worlds", type=int, default=2000, help="that are imitated")
    parser.add_argument("--steps", type=int, default=500, help="of imitation")
    parser.add_argument("--exam", type=int, default=96, help="worlds to be examined in")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row_of(result) for result in done(**vars(arguments))]
    columns = [
        "level", "added", "arm", "seed", "mIoU", "right object", "format", "accuracy", "density error, fps",
        "CPU s of training", "of decoding",
    ]  # fmt: skip
    show("What harder worlds leave of it, and what lessons mend", COMMAND, columns, rows)


if __name__ == "__main__":
    main()
