"""What do harder worlds leave of it? A student from scratch imitates a faultless teacher, with the demo's budget.

Level 0 is one object, seen from near, that flickers; each further level turns one knob more
(generators/synthetic/worlds/imagine.py). The question, the number of worlds and that of
steps are the same at each level; measured in worlds that the student has not seen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr

import torch
from rich.console import Console

from dmforge.commands.demo import chain
from dmforge.commands.demo.train import Desk
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.worlds.imagine import KNOBS, LEVELS, knobs_of
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.trainers.evaluate import Evaluation
from tests.support.tables import show

COMMAND = "python -m studies.levels"


def learnt(folder: Path, level: int, size: chain.DemoSize) -> tuple[Evaluation, float]:
    """How well a level's student does, and how many seconds it was trained."""
    console = Console(quiet=True)
    worlds = WorldSettings(videos=size.videos, knobs=knobs_of(level), study=True)
    cot = chain.only_corpus(chain.teach(folder, "study", worlds, Behaviour(), console, COMMAND)[0])
    held_out = worlds.model_copy(update={"videos": size.exam, "seed": chain.EXAM_SEED})
    exam = chain.make_exam(folder / "exam", held_out, console, COMMAND)
    torch.set_num_threads(1)
    desk, began = Desk(folder / "student"), time.perf_counter()
    with redirect_stdout(stderr):
        student = desk.imitate(cot, size.imitations)
        seconds = time.perf_counter() - began
        return desk.examine("exam", student, exam, cot), seconds


def row_of(level: int, evaluation: Evaluation, seconds: float) -> list[object]:
    metrics, constant_miou = evaluation.figures, evaluation.baselines.constant_miou
    miou = metrics["miou"]
    knob = KNOBS[level - 1] if level else "one object"
    figures = [f"{metrics[name].value:.3f}" for name in ("format", "accuracy", "density_error")]
    constant = f"{constant_miou.value:.3f}" if constant_miou else ""
    return [level, knob, f"{miou.value:.3f} ({miou.low:.3f} - {miou.high:.3f})", *figures, constant, f"{seconds:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("small", "full"), default="full", help="whose budget")
    parser.add_argument("--levels", type=int, nargs="+", default=range(len(LEVELS)))
    arguments = parser.parse_args()
    rows: list[list[object]] = []
    for level in arguments.levels:
        with tempfile.TemporaryDirectory(prefix="dmforge-levels-") as folder:
            rows.append(row_of(level, *learnt(Path(folder), level, chain.SIZES[arguments.size])))
            print(rows[-1], file=stderr)
    command = f"{COMMAND} --size {arguments.size} --levels {' '.join(map(str, arguments.levels))}"
    columns = ["level", "added", "mIoU", "format", "accuracy", "density error, fps", "constant span", "s of training"]
    show("What harder worlds leave of it", command, columns, rows)


if __name__ == "__main__":
    main()
