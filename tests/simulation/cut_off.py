"""Work on a disk that forgets, at any call of which a mishap befalls its process: it is begun anew until it is done.

Subclasses say what the work is, and what must hold of what lies there whenever a name has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn
from unittest import mock

from dmforge.curation.io import machine
from dmforge.schemas.errors import LakeError
from tests.simulation.forgetful_disk import ForgetfulDisk
from tests.simulation.scheduler import Crash, Scheduler
from tests.simulation.simulated_machine import SimulatedMachine

MAX_STEPS = 20_000
Kind = Literal["kill", "power cut", "eio", "short", "full"]
SEEDS_OF: dict[Kind, int] = {"kill": 1, "power cut": 2, "eio": 1, "short": 1, "full": 1}
"""How many mishaps of a kind are tried at a call: what a power cut leaves is drawn."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What befalls the process that runs at a step."""

    at_step: int
    kind: Kind
    seed: int = 0


class CutOffWork:
    """Work in a folder, done as often as it takes."""

    def __init__(self, root: Path, name: str, mishap: Mishap | None = None) -> None:
        self.root, self.mishap, self._name = root, mishap, name
        self.scheduler = Scheduler(f"{name} {mishap}", MAX_STEPS)
        self.machine = SimulatedMachine(self.scheduler, ForgetfulDisk(root), _no_network)
        self.machine.after_change = lambda path: self.check()
        self.scheduler.before_step, self.scheduler.cut_power = self._befall, self._cut_power

    def work(self) -> None:
        """What a process does, from the beginning or from where another was cut off."""
        raise NotImplementedError

    def check(self) -> None:
        """Hold what lies there against what is promised."""
        raise NotImplementedError

    def run(self, processes: int = 1) -> dict[str, bytes]:
        """Work until it is done, by one process or by several at once; cut the power once more, and return the files."""
        with mock.patch.object(machine, "current", self.machine):
            self.scheduler.run({f"{self._name} {number}": self._keep_at_it for number in range(processes)})
            self._cut_power()
        return {str(path.relative_to(self.root)): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}

    def _keep_at_it(self) -> None:
        is_done = False
        while not is_done:
            process, refusals = self.scheduler.begin(self._name), self.machine.refusals
            try:
                self.work()
                is_done = not process.is_dead
            except Crash:
                pass
            except LakeError:
                if self.machine.refusals == refusals:  # nobody but the disk may be to blame
                    raise
            finally:
                self.scheduler.end(process, self.machine.release)

    def _befall(self) -> None:
        if self.mishap is None or self.scheduler.steps != self.mishap.at_step:
            return
        if self.mishap.kind == "full":
            self.machine.fill_disk()
        elif self.mishap.kind in ("eio", "short"):
            self.machine.armed.append(self.mishap.kind)
        else:
            self.scheduler.is_powered = self.mishap.kind != "power cut"
            self.scheduler.kill_all()

    def _cut_power(self) -> None:
        if self.mishap is None or self.mishap.kind == "power cut":
            self.machine.cut_power(self.scheduler.draw())
        self.check()


def mishaps(steps: int, stride: int, kinds: Sequence[Kind]) -> Iterator[Mishap]:
    """Mishaps of these kinds at every so many calls."""
    for at_step in range(1, steps + 1, stride):
        for kind in kinds:
            for seed in range(SEEDS_OF[kind]):
                yield Mishap(at_step, kind, seed)


def _no_network() -> NoReturn:
    raise AssertionError("this work asks nobody")
