"""What a seed means: who is at work in a workspace of which size, and which faults come at which step."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace

BATCHES = (4, 8)
SIZES = (16, 24, 40)
"""Tasks: eight are about one video."""
JOBS = ("second driver", "takedown", "merge", "reader", "upgrade")
DISK_FAULTS = ("short", "slow", "eio", "full")
FAULTS = ("kill", "power cut", "stall", *DISK_FAULTS, "flip")
KINDS = ("kill", "kill", "power cut", "power cut", "stall", "stall", *DISK_FAULTS, "flip")
"""Faults, those that matter most more than once."""
MAX_FAULTS = 6
STEPS_A_JOB = 500
"""About as many calls a job makes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that befalls the process that runs at a step, or the whole machine."""

    at_step: int
    kind: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a seed decides, but for the turns that processes take."""

    seed: int
    tasks: int
    batch_items: int
    ranks: int
    """0: one driver."""
    jobs: tuple[str, ...]
    """Beside the driver or the ranks."""
    faults: tuple[Fault, ...]
    teacher_faults: float
    """The share of requests that meet one."""

    def without(self, names: Collection[str]) -> Plan:
        """The plan without some faults, by their numbers, and some jobs: how a failure is made smaller."""
        faults = tuple(fault for number, fault in enumerate(self.faults) if f"fault-{number}" not in names)
        jobs = tuple(job for job in self.jobs if job.replace(" ", "-") not in names)
        teacher_faults = 0.0 if "teacher-faults" in names else self.teacher_faults
        return replace(
            self, faults=faults, jobs=jobs, teacher_faults=teacher_faults, ranks=0 if "ranks" in names else self.ranks
        )

    def names(self) -> list[str]:
        """All that can be left out."""
        names = [*(f"fault-{number}" for number in range(len(self.faults))), *(job.replace(" ", "-") for job in self.jobs)]
        return [*names, *(["teacher-faults"] if self.teacher_faults else []), *(["ranks"] if self.ranks else [])]

    def __str__(self) -> str:
        workers = f"{self.ranks} ranks" if self.ranks else "driver"
        faults = ", ".join(f"{fault.kind} at {fault.at_step}" for fault in self.faults)
        return (
            f"{self.tasks} tasks in batches of {self.batch_items}; {', '.join((workers, *self.jobs))}; {faults or 'no faults'}"
        )


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"plan {seed}")
    ranks = rng.choice((0, 0, 2, 3))
    jobs = tuple(job for job in JOBS if rng.random() < 0.3 and not (ranks and job == "second driver"))
    last_step = STEPS_A_JOB * (1 + max(0, ranks - 1))
    faults = (Fault(rng.randint(1, last_step), rng.choice(KINDS)) for _ in range(rng.randint(0, MAX_FAULTS)))
    return Plan(
        seed, rng.choice(SIZES), rng.choice(BATCHES), ranks, jobs, tuple(sorted(faults, key=lambda fault: fault.at_step)),
        rng.choice((0.0, 0.1)),
    )  # fmt: skip
