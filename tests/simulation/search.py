"""Searches seeds for one that breaks a promise, on several cores, and makes the plan of one that does smaller."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty

from tests.simulation.plans import plan_of
from tests.simulation.simulate import Verdict, simulate

LEFT_S = 5.0


@dataclass
class Searched:
    """What came of many seeds."""

    seeds: int = 0
    steps: int = 0
    checks: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    met: Counter[str] = field(default_factory=Counter[str])
    jobs: Counter[str] = field(default_factory=Counter[str])
    failures: list[Verdict] = field(default_factory=list[Verdict])

    def add(self, verdict: Verdict, cpu_s: float) -> None:
        self.seeds += 1
        self.steps += verdict.steps
        self.checks += verdict.checks
        self.simulated_s += verdict.simulated_s
        self.cpu_s += cpu_s
        self.met += verdict.met
        self.jobs += Counter((*verdict.plan.jobs, f"{verdict.plan.ranks} ranks" if verdict.plan.ranks else "driver"))
        self.failures += [verdict] if verdict.failure else []


def search(first_seed: int, seconds: float, workers: int = 1, defect: str = "", seeds: int | None = None) -> Searched:
    """Seeds from the first on, until one breaks a promise, so many were tried, or the time is up."""
    searched, ends_s = Searched(), time.monotonic() + seconds
    for verdict, cpu_s in _verdicts(first_seed, workers, defect, ends_s, seeds):
        searched.add(verdict, cpu_s)
        if verdict.failure:
            break
    return searched


def shrunk(seed: int, defect: str = "") -> tuple[str, ...]:
    """What can be left out of a seed's plan with some promise still broken: each thing is tried, one after another."""
    plan, left_out = plan_of(seed), ()
    for name in plan.names():
        if simulate(plan.without((*left_out, name)), defect).failure:
            left_out = (*left_out, name)
    return left_out


def _verdicts(first_seed: int, workers: int, defect: str, ends_s: float, seeds: int | None) -> Iterator[tuple[Verdict, float]]:
    numbers = itertools.count(first_seed) if seeds is None else range(first_seed, first_seed + seeds)
    if workers == 1:
        for seed in numbers:
            if time.monotonic() > ends_s:
                return
            began_s = time.process_time()
            yield simulate(plan_of(seed), defect), time.process_time() - began_s
        return
    context = multiprocessing.get_context("spawn")
    verdicts: multiprocessing.Queue[tuple[Verdict, float]] = context.Queue()
    last_seed = None if seeds is None else first_seed + seeds
    processes = [
        context.Process(target=_work, args=(verdicts, first_seed + worker, workers, defect, last_seed), daemon=True)
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        while time.monotonic() < ends_s:
            try:
                yield verdicts.get(timeout=1)
            except Empty:
                if not any(process.is_alive() for process in processes):
                    return
    finally:
        for process in processes:
            process.kill()


def _work(
    verdicts: multiprocessing.Queue[tuple[Verdict, float]], first_seed: int, step: int, defect: str, last_seed: int | None
) -> None:
    for seed in itertools.count(first_seed, step):
        if last_seed is not None and seed >= last_seed:
            return
        began_s = time.process_time()
        verdict = simulate(plan_of(seed), defect)
        verdicts.put((verdict, time.process_time() - began_s))
