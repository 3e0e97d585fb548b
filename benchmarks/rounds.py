"""What do rounds save, and do they decide as 16 rollouts would? Tasks of known pass rates, solved by chance.

A task is kept where its rate, as far as it was measured, lies between the thresholds of `select_rl` in the recipe: it
was solved, and not always. The same draws are stopped early by each rule, and not at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from random import Random

from dmforge.filters.rollouts.replay import ReplayConfig
from dmforge.filters.rollouts.rounds import RoundsConfig, TryCount, wilson
from tests.support.tables import show

COMMAND = "python -m benchmarks.rounds"
MIN_RATE, MAX_RATE = 0.05, 0.95
SAVED = 0.3
RATES = {
    "0, 1/8, ..., 1": [eighth / 8 for eighth in range(9)],
    "evenly from .02 to .98": [0.02 + 0.04 * step for step in range(25)],
    "half of them always or never": [0.0] * 4 + [0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95] + [1.0] * 4,
}
RULES = {
    "the default": ReplayConfig(),
    "clear of .1 and .9 at .8": ReplayConfig(clear_of=(0.1, 0.9), rounds=RoundsConfig(confidence=0.8)),
    "clear of .125 and .875 at .7": ReplayConfig(clear_of=(0.125, 0.875), rounds=RoundsConfig(confidence=0.7)),
}


def stopped(draws: Sequence[bool], rule: ReplayConfig) -> TryCount:
    """What is known of a task when its rollouts stop."""
    tries = TryCount(0, 0)
    for size in rule.rounds.sizes:
        tries = TryCount(sum(draws[:size]), size)
        if wilson(tries, rule.rounds.confidence).against(*rule.clear_of) != "not clear":
            break
    return tries


def kept(tries: TryCount) -> bool:
    return MIN_RATE <= tries.rate <= MAX_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=500, help="of each rate")
    arguments = parser.parse_args()
    rows: list[list[object]] = []
    for mix, rates in RATES.items():
        chance = Random(mix)
        tasks = [[chance.random() < rate for _ in range(16)] for rate in rates for _ in range(arguments.tasks)]
        for name, rule in RULES.items():
            stopped_tries = [stopped(draws, rule) for draws in tasks]
            saved = 1 - sum(tries.n for tries in stopped_tries) / (16 * len(tasks))
            same = sum(kept(tries) == kept(TryCount(sum(draws), 16)) for tries, draws in zip(stopped_tries, tasks, strict=True))
            rows.append([mix, name, f"{saved:.2f}", SAVED, f"{same / len(tasks):.4f}"])
    columns = ["pass rates", "rule", "rollouts saved", "wanted", "decided as by 16"]
    show("Rounds of 4, 8 and 16", f"{COMMAND} --tasks {arguments.tasks}", columns, rows)


if __name__ == "__main__":
    main()
