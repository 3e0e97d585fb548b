"""Does a second look pay where two places have to be seen? And what does it cost where one is enough, or none?

Two students of each seed have the same lessons and imitate faultless teachers of the same worlds, with as many updates and as
many frames: one may look twice at up to 12 frames, the other once at up to 24, and its teacher takes the best single look that
there is (found by search, generators/synthetic/lessons/best_look.py). Both are examined in worlds that no lesson was about.

    python -m studies.two_looks --folder two_looks                               # goes on where it was stopped
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dmforge.generators.synthetic.lessons.best_look import single_look_thoughts
from dmforge.generators.synthetic.lessons.lesson_corpora import Teacher, faultless_thoughts
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from studies.schooling import Course, Schooling, kept, totals
from tests.support.tables import show

COMMAND = "python -m studies.two_looks"
ARMS: dict[str, tuple[int, Teacher]] = {"two": (12, faultless_thoughts), "one": (24, single_look_thoughts)}
"""How many frames a look may have, and whom the student imitates."""
IMITATED = 100
"""The seed of worlds that are imitated; counted up from."""
MEASURED = ("accuracy", "miou_set", "looks", "excess_looks", "missed_looks")


def clips_of(look_frames: int) -> Clips:
    """Frames of 32 x 32, one visual token a patch."""
    return Clips(
        coarse_fps=Fraction(1), coarse_frames=64, coarse_tokens=10, look_frames=look_frames, look_tokens=look_frames,
        look_size="floor",
    )  # fmt: skip


def done(folder: Path, seeds: int, arms: list[str], **size: int) -> Iterator[dict[str, Any]]:
    """What each student does in the exam, by how many looks tasks need."""
    for seed in range(seeds):
        for arm in arms:
            yield kept(folder / f"{arm}-{seed}.json", size, partial(measured, folder, arm, seed, size))


def measured(folder: Path, arm: str, seed: int, size: dict[str, int]) -> dict[str, Any]:
    """One student, from its first lesson to its exam."""
    look_frames, teacher = ARMS[arm]
    imitated = WorldSettings(videos=size["worlds"], study=True, looks=2, seed=IMITATED + seed)
    course = Course(
        imitated, clips_of(look_frames), size["steps"], teacher=teacher, lesson_steps=size["lesson_steps"], max_looks=2
    )
    schooling = Schooling(folder / f"{arm}-{seed}", folder / f"corpora-{arm}-{seed}", course, seed)
    evaluation = schooling.exam(size["exam"], schooling.run())
    by_need = evaluation.metrics()["by_needed_looks"]
    return {"arm": arm, "seed": seed, "cpu_s": schooling.cpu_s, "by_needed_looks": by_need}


def row_of(result: dict[str, Any], need: str) -> list[object]:
    figures = result["by_needed_looks"][need]
    figure_texts = [f"{figures[name]:.3f}" if name in figures else "" for name in MEASURED]
    return [result["seed"], need, result["arm"], *figure_texts, *totals(result["cpu_s"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where everything goes, and goes on")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--worlds", type=int, default=1500, help="that are imitated")
    parser.add_argument("--steps", type=int, default=1000, help="of imitation")
    parser.add_argument("--lesson-steps", type=int, default=600, help="at most, of each lesson")
    parser.add_argument("--exam", type=int, default=192, help="worlds to be examined in")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = list(done(**vars(arguments)))
    rows = [row_of(result, need) for need in ("2", "1", "0") for result in results]
    columns = ["seed", "looks needed", "may look", *MEASURED, "CPU s of training", "of decoding"]
    show("What a second look is worth", COMMAND, columns, rows)


if __name__ == "__main__":
    main()
