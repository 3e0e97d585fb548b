"""When does it pay to credit the look and the answer apart? And when does it cost?

The same student, imitating a biased teacher, practises from the same checkpoint with the same rollouts to spend, in four arms:
decoupled (holistic 0), half and half (.5), plain GRPO (1), and decoupled with tokens weighed within each segment. In four
scenarios: two in which the answer's reward says little or nothing about the look, so that it is noise to who adds it up; and
two in which decoupling leaves something out, since only the answer tells what density is right, or hangs on the look.

    chance        gold is drawn without regard to the frames
    coin          of half of the worlds gold is a coin flip between what shows and another colour
    no density    [rewards] fps = 0: nothing but the answer says how dense is dense enough
    dependent     everything is rewarded, and the answer shows only to a look at the right place, as dense as it takes

Each seed has worlds of its own to practise on; odd seeds begin from another imitation than even ones, which come first. All
are measured on the same worlds, greedily, where gold is what shows. Each finished training is a row of rows.jsonl in the
folder, and is not repeated.

    python -m studies.credit --folder credit                            # goes on where it was stopped
    python -m studies.credit --rows benchmarks/results/credit.jsonl     # only shows, and draws, what rows say
"""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from studies.crediting import ONE_LOOK, carry_out, require_size
from studies.journeys import Row, read
from studies.practising import HeldOut, Practice, imitated, practised
from tests.support import flicker

HELD_OUT, TAUGHT, PRACTICE = 77_000, 78_000, 79_000
"""Seeds of worlds; the last two are counted up from. No other benchmark and no test has worlds of these."""
SFTS = 2
"""Checkpoints: seed n begins from that of n modulo this."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is practised on, and what is rewarded."""

    name: str
    golds: flicker.Golds
    prompts: int
    at: tuple[int, ...]
    """Updates after which it is measured; the last are all."""
    fps: float = 0.5
    """`[rewards] fps`"""


SCENARIOS = (
    Scenario("chance", "chance", 4, (15, 30, 60)),
    Scenario("coin", "coin", 4, (15, 30, 60)),
    Scenario("no density", "shown", 8, (10, 20, 40), fps=0.0),
    Scenario("dependent", "shown", 8, (10, 20, 40)),
)
ARMS: dict[str, dict[str, object]] = {
    "1": {"holistic": 1.0},
    "0": {"holistic": 0.0},
    "0.5": {"holistic": 0.5},
    "0, by segment": {"holistic": 0.0, "normalise": "segment"},
}
"""What `[training]` says."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything: rows of other sizes don't go together."""

    worlds: int
    steps: int
    held_out: int
    updates: int
    """0: as the scenarios say."""


def done(folder: Path, size: Size, seeds: Sequence[int]) -> Iterator[Row]:
    """Row by row what is missing: all of a seed before the next, and of a seed what is compared first."""
    require_size(folder, asdict(size))
    known = {(row.scenario, row.arm, row.seed) for row in read(folder / "rows.jsonl")}
    held_out = HeldOut(packed(folder, "held_out", size.held_out, HELD_OUT, "shown"))
    for seed in seeds:
        sft = seed % SFTS
        began = time.process_time()
        checkpoint = imitated(folder / f"sft-{sft}", size.worlds, size.steps, sft, TAUGHT + sft)
        if ("sft", "", sft) not in known and seed == sft:
            yield Row("sft", "", sft, sft, round(time.process_time() - began, 1), (held_out.of(checkpoint),))
        for arm, training in ARMS.items():
            for scenario in SCENARIOS:
                if (scenario.name, arm, seed) in known:
                    continue
                at = tuple(range(1, size.updates + 1)) if size.updates else scenario.at
                place = packed(folder, f"practice-{seed}", scenario.prompts * at[-1], PRACTICE + seed, scenario.golds)
                practice = Practice(checkpoint, place, scenario.prompts, seed, at, training, {"fps": scenario.fps})
                points, cpu_s = practised(practice, folder / "scratch", held_out)
                yield Row(scenario.name, arm, seed, sft, round(cpu_s, 1), points)


def packed(folder: Path, name: str, worlds: int, seed: int, golds: flicker.Golds) -> Path:
    """Tasks about these worlds; as they lie there, if they do."""
    place = folder / f"{name}-{golds}-{worlds}"
    if not place.exists():
        packing = folder / "packing"
        shutil.rmtree(packing, ignore_errors=True)
        flicker.rl(packing, worlds, seed, golds).rename(place)
    return place


def missing(folder: Path, arguments: Namespace) -> Iterator[Row]:
    """The rows that are missing of what the command line asks for."""
    size = Size(arguments.worlds, arguments.steps, arguments.held_out, arguments.updates)
    return done(folder, size, sorted(range(arguments.seeds), key=lambda seed: seed % SFTS))


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where everything goes, and goes on")
    parser.add_argument("--rows", type=Path, help="train nothing: show these")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--worlds", type=int, default=3000, help="that are imitated")
    parser.add_argument("--steps", type=int, default=940, help="of an imitation")
    parser.add_argument("--held-out", type=int, default=96, help="worlds to measure on")
    parser.add_argument("--updates", type=int, default=0, help="of each practice; by default as the scenarios say")
    carry_out(parser, "python -m studies.credit", ONE_LOOK, missing)


if __name__ == "__main__":
    main()
