"""A machine in one process, of which a seed decides everything: who runs when, what is killed, what a power cut leaves.

    python -m tests.simulation --seed 17                        replays one seed
    python -m tests.simulation --seconds 600 --workers 2        searches for a seed that breaks a promise
    python -m tests.simulation --plant fsync-left-out           shows that a planted defect is found
    python -m tests.simulation --plants                         what it takes to find each of them

The same commit gives the same seed the same trace. A seed that breaks a promise is printed with the command that repeats it,
with all left out that isn't needed.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation.plans import FAULTS, plan_of
from tests.simulation.planted import DEFECTS
from tests.simulation.search import Searched, search, shrunk
from tests.simulation.simulate import simulate
from tests.simulation.simulated_teacher import FAULTS as TEACHER_FAULTS
from tests.support.tables import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="what to leave out of its plan")
    parser.add_argument("--from", dest="first_seed", type=int, default=0, help="the first seed of a search")
    parser.add_argument("--seconds", type=float, default=60, help="how long to search")
    parser.add_argument("--workers", type=int, default=1, help="on how many cores")
    parser.add_argument("--plant", default="", choices=DEFECTS, help="a defect to be found")
    parser.add_argument("--plants", action="store_true", help="find each defect that can be planted")
    options = parser.parse_args()
    if options.plants:
        find_planted(options.first_seed, options.seconds)
        return
    if options.seed is not None:
        replay(options.seed, options.without, options.plant)
        return
    searched = search(options.first_seed, options.seconds, options.workers, options.plant)
    report(searched, " ".join(["python -m tests.simulation", *sys.argv[1:]]))
    for verdict in searched.failures:
        left_out = shrunk(verdict.plan.seed, options.plant)
        plant = f" --plant {options.plant}" if options.plant else ""
        without = f" --without {' '.join(left_out)}" if left_out else ""
        command = f"python -m tests.simulation --seed {verdict.plan.seed}{without}{plant}"
        sys.exit(f"{verdict.failure}\n{verdict.plan.without(left_out)}\nrepeat it: {command}")


def replay(seed: int, left_out: list[str], defect: str) -> None:
    """One seed, and what it shows."""
    plan = plan_of(seed).without(left_out)
    verdict = simulate(plan, defect)
    sys.stdout.write(
        f"seed {seed}: {plan}\ntrace {verdict.trace}, {verdict.steps} steps, {verdict.simulated_s:.0f} s of its clock\n"
    )
    if verdict.failure:
        sys.exit(verdict.failure)


def find_planted(first_seed: int, seconds: float) -> None:
    """The table of planted defects: what each was found by."""
    rows: list[tuple[object, ...]] = []
    for defect in DEFECTS:
        searched = search(first_seed, seconds, defect=defect)
        broken = searched.failures[0].failure.strip().splitlines()[-1].partition(": ")[2] if searched.failures else "NOT FOUND"
        rows.append((defect, searched.seeds, round(searched.cpu_s, 1), broken))
    show(
        "Planted defects",
        f"python -m tests.simulation --plants --from {first_seed}",
        ["defect", "seeds", "CPU s", "seen as"],
        rows,
    )


def report(searched: Searched, command: str) -> None:
    """The table of a search."""
    rate = 60 * searched.seeds / max(searched.cpu_s, 1e-9)
    rows: list[tuple[str, object]] = [
        ("seeds", searched.seeds),
        ("seeds in a minute of one core", round(rate)),
        ("steps", searched.steps),
        ("hours on the simulated clock", round(searched.simulated_s / 3600, 1)),
        ("times that the lake was checked", searched.checks),
        *((f"seeds with {job}", number) for job, number in sorted(searched.jobs.items())),
        *((f"fault: {kind}", searched.met[kind]) for kind in (*FAULTS, *TEACHER_FAULTS)),
        ("promises broken", len(searched.failures)),
    ]
    show("A machine simulated", command, ["what", "number"], rows)


if __name__ == "__main__":
    main()
