"""Replays seeds of the simulation, or searches for one that breaks a promise.

    python -m tests.simulation --seed 17
    python -m tests.simulation --seconds 600 --workers 2
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation.plans import plan_of
from tests.simulation.simulate import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--without", nargs="*", default=[], help="what to leave out of its plan")
    options = parser.parse_args()
    plan = plan_of(options.seed).without(options.without)
    verdict = simulate(plan)
    print(f"seed {plan.seed}: {plan}\ntrace {verdict.trace}, {verdict.steps} steps, {verdict.simulated_s:.0f} s", file=sys.stderr)
    if verdict.failure:
        sys.exit(verdict.failure)


if __name__ == "__main__":
    main()
