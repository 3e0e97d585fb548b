"""Who holds the watch: a script is run to its end, or killed on the way, and what it took is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.memory import PeakMemory, tree

SCRIPTS = Path(__file__).parent / "scripts"
LONGEST_S = 1800
EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Ran:
    """One whole process with all that it started."""

    s: float
    cpu_s: float
    peak_mb: float
    report: Any
    """The last line that it printed, as JSON; None where that is none."""


def run(command: Sequence[object], environment: dict[str, str] | None = None) -> Ran:
    """To its end."""
    began = time.monotonic()
    with subprocess.Popen(_words(command), env=_env(environment), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with PeakMemory(process) as memory, UsedCpu(process.pid) as cpu:
            output = process.stdout.read()
            if process.wait():
                sys.exit(f"{command[1]} failed")
    return Ran(time.monotonic() - began, cpu.seconds, memory.peak_mb, _last(output))


class UsedCpu:
    """CPU time of a running process tree, sampled: what nobody waits for in the end would be in no account of the system's."""

    def __init__(self, root: int) -> None:
        self._root, self._stop, self._used = root, threading.Event(), dict[int, float]()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        return sum(self._used.values())

    def _sample(self) -> None:
        while not self._stop.wait(EVERY_S):
            for pid in tree(self._root):
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                except OSError:  # it ended while we looked
                    continue
                self._used[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill(command: Sequence[object], far_enough: Callable[[], bool], environment: dict[str, str] | None = None) -> None:
    """SIGKILL for it and all its children, as soon as it has come far enough."""
    until = time.monotonic() + LONGEST_S
    with subprocess.Popen(_words(command), env=_env(environment), stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while not far_enough():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{command[1]} ended before it could be killed")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)


def lines(*paths: Path) -> int:
    """Lines that somebody has to write: neither blank nor a comment."""
    stripped = (line.strip() for path in paths for line in path.read_text().splitlines())
    return sum(bool(line) and not line.startswith("#") for line in stripped)


def _words(command: Sequence[object]) -> list[str]:
    return [str(word) for word in command]


def _env(more: dict[str, str] | None) -> dict[str, str]:
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "LOGURU_LEVEL": "ERROR"}
    return {**os.environ, **quiet, **(more or {})}


def _last(output: str) -> Any:
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
