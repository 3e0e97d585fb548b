"""How should several looks be credited? And what does each way cost?

A student has lessons about worlds with two places, imitates a teacher that looks too widely, too sparsely, and in two of
five tasks once too often or not often enough, and practises from there on exact rewards: in seven arms, from the same
checkpoint, with the same rollouts to spend. A third of the tasks needs two looks, a third one, a third none.

    to_go, 0 | set, 0 | marginal, 0             [training] looks, with holistic = 0: looks and answers have their own advantages
    to_go, 0.5 | set, 0.5 | marginal, 0.5       half of it that of the whole trajectory
    plain                                       holistic = 1: plain GRPO

Each seed has a student, lessons, worlds to imitate and worlds to practise on of its own; all are measured on the same ones,
greedily. Each finished training is a row of rows.jsonl in the folder, and is not repeated.

    python -m studies.credit_of_looks --folder credit                            # goes on where it was stopped
    python -m studies.credit_of_looks --rows benchmarks/results/credit_of_looks.jsonl
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from dmforge.generators.synthetic.lessons.biased_teacher import biased_thoughts
from dmforge.generators.synthetic.lessons.lesson_corpora import pack_tasks
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from studies.crediting import Study, carry_out, require_size
from studies.journeys import Row, read
from studies.practising import HeldOut, Practice, practised
from studies.schooling import Course, Schooling

CLIPS = Clips(coarse_fps=Fraction(1), coarse_frames=64, coarse_tokens=10, look_frames=24, look_tokens=24, look_size="floor")
IMITATED, PRACTISED, MEASURED = 200, 700, 991
"""Seeds of worlds; the first two are counted up from."""
MAX_LOOKS, MAX_TOKENS = 2, 160
TOKEN_COST = 0.05
"""What a look of as many frames as it may have costs: without a price, one that isn't needed is as good as none."""
LEARNING_RATE = 5e-4
"""With 3e-4 looks that aren't needed fall more slowly; with 1e-3 first looks come back where none is needed."""
ARMS: dict[str, dict[str, object]] = {
    "plain": {"holistic": 1.0},
    "to_go, 0": {"looks": "to_go", "holistic": 0.0},
    "to_go, 0.5": {"looks": "to_go", "holistic": 0.5},
    "set, 0": {"looks": "set", "holistic": 0.0},
    "set, 0.5": {"looks": "set", "holistic": 0.5},
    "marginal, 0": {"looks": "marginal", "holistic": 0.0},
    "marginal, 0.5": {"looks": "marginal", "holistic": 0.5},
}
"""What `[training]` says."""
SCENARIO = "two places"
STUDY = Study(
    measures={
        "iou": "mIoU of the set", "excess": "looks too many", "missed": "looks too few", "right": "accuracy",
        "off_fps": "density error, fps", "close": "mIoU, places close", "far": "mIoU, places apart",
    },
    tops={"iou": 1.0, "excess": 1.0, "missed": 1.0, "right": 1.0, "off_fps": 2.0, "close": 1.0, "far": 1.0},
    baseline="plain",
)  # fmt: skip


def missing(folder: Path, arguments: Namespace) -> Iterator[Row]:
    """Row by row what is missing: all arms of a seed before the next seed."""
    size = {name: getattr(arguments, name) for name in ("worlds", "steps", "updates", "prompts", "held_out", "lesson_steps")}
    require_size(folder, size)
    known, updates, prompts = {(row.arm, row.seed) for row in read(folder / "rows.jsonl")}, size["updates"], size["prompts"]
    held_out_tasks = pack_tasks(folder / "held_out", _worlds(size["held_out"], MEASURED), CLIPS)
    held_out = HeldOut(held_out_tasks, max_looks=MAX_LOOKS, max_tokens=MAX_TOKENS)
    at = tuple(sorted({updates // 4, updates // 2, updates} - {0}))
    for seed in range(arguments.seeds):
        imitated = _worlds(size["worlds"], IMITATED + seed)
        course = Course(
            imitated, CLIPS, size["steps"], teacher=biased_thoughts, lesson_steps=size["lesson_steps"], max_looks=MAX_LOOKS
        )
        schooling = Schooling(folder / f"student-{seed}", folder / f"corpora-{seed}", course, seed)
        checkpoint = schooling.run()
        if ("", seed) not in known:
            training_s = sum(training_s for training_s, _ in schooling.cpu_s.values())
            yield Row("sft", "", seed, seed, round(training_s, 1), (held_out.of(checkpoint),))
        place = pack_tasks(folder / f"practice-{seed}", _worlds(updates * prompts // 3 + 1, PRACTISED + seed), CLIPS)
        for arm, training in ARMS.items():
            if (arm, seed) in known:
                continue
            rollout = {"max_looks": MAX_LOOKS, "max_tokens": MAX_TOKENS, "max_rows": 8 * prompts}
            policy = {"learning_rate": LEARNING_RATE, **training}
            practice = Practice(checkpoint, place, prompts, seed, at, policy, {"token_cost": TOKEN_COST}, rollout)
            points, cpu_s = practised(practice, folder / "scratch", held_out)
            yield Row(SCENARIO, arm, seed, seed, round(cpu_s, 1), points)


def _worlds(videos: int, seed: int) -> WorldSettings:
    return WorldSettings(videos=videos, study=True, looks=2, seed=seed)


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where everything goes, and goes on")
    parser.add_argument("--rows", type=Path, help="train nothing: show these")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--worlds", type=int, default=1500, help="that are imitated")
    parser.add_argument("--steps", type=int, default=1600, help="of an imitation")
    parser.add_argument("--lesson-steps", type=int, default=600, help="at most, of each lesson")
    parser.add_argument("--held-out", type=int, default=48, help="worlds to measure on, three tasks each")
    parser.add_argument("--updates", type=int, default=40, help="of each practice")
    parser.add_argument("--prompts", type=int, default=24, help="of each update, eight rollouts each")
    carry_out(parser, "python -m studies.credit_of_looks", STUDY, missing)


if __name__ == "__main__":
    main()
