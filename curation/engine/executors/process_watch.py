"""Decides when a process has to be ended: over its CPU limit, hung, or at the wall-clock backstop. Measured from outside.

From outside, since a decoder that hangs may hold the interpreter's lock: no code inside the process would run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from dmforge.curation.contract.stage import EachConfig

TICK_S = 0.1
"""How often processes are looked at. A look that comes on time shows that the machine was free."""
IDLE_CPU_SHARE = 0.01
"""A process that uses less of a core than this is hung; a starved one on a loaded machine gets more."""


@dataclass(frozen=True, slots=True)
class EndReason:
    """Why a process is ended. The detail names the limit and no measurement: outcomes must not vary."""

    reason: str
    detail: str
    computing: bool = False


class ProcessWatch:
    """Observes a process since it began its current input, or last reported progress with it."""

    def __init__(self, input_and_beats: tuple[int, int], now_s: float, cpu_s: float) -> None:
        self.progress = input_and_beats
        self._since_s, self._cpu_at_start_s, self._cpu_s = now_s, cpu_s, cpu_s
        self._idle_s = self._recent_cpu_s = 0.0

    def look(self, now_s: float, cpu_s: float, elapsed_s: float, limits: EachConfig) -> EndReason | None:
        """Measure again, `elapsed_s` after the last time; a verdict if the process has to be ended."""
        self._recent_cpu_s += cpu_s - self._cpu_s
        self._cpu_s = cpu_s
        if elapsed_s < 3 * TICK_S:  # this look came on time, so the machine was free: the process could have worked
            self._idle_s += elapsed_s
        if self._recent_cpu_s > IDLE_CPU_SHARE * max(self._idle_s, 1.0):
            self._idle_s = self._recent_cpu_s = 0.0
        if cpu_s - self._cpu_at_start_s > limits.cpu_s:
            return EndReason("cpu", f"over its limit of {limits.cpu_s:g} CPU seconds")
        if self._idle_s > limits.hang_timeout_s:
            return EndReason("still", f"no CPU used for {limits.hang_timeout_s:g} s on a free machine")
        if now_s - self._since_s > limits.wall_timeout_s:
            return EndReason("backstop", f"still computing after {limits.wall_timeout_s:g} s", computing=True)
        return None


def cpu_seconds(pid: int | None) -> float | None:
    """The CPU time that a process has used, None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat_file:
            user_ticks, system_ticks = stat_file.read().rpartition(b")")[2].split()[11:13]
    except (OSError, ValueError):
        return None
    return (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")
