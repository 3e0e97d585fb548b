"""Progress of a running stage: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dmforge.schemas.visible import escaped_in_line

LINE_EVERY_S = 30.0
"""Seconds between plain lines; the first comes after a third of that, so that a log shows early that work goes on."""


class StageProgress:
    """Progress of one stage on stderr. Nothing is shown for a stage with nothing to do."""

    def __init__(self, console: Console, stage: str, total: int) -> None:
        self._console, self._stage, self._total = console, stage, total
        self._done = 0
        self._started_s = time.monotonic()
        self._next_line_s = self._started_s + LINE_EVERY_S / 3
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._console.is_terminal and self._total:
            progress_columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self._bar = Progress(*progress_columns, TimeRemainingColumn(), console=self._console)
            self._task = self._bar.add_task(self._stage, total=self._total, rate="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Count further inputs that were processed."""
        self._done += count
        now_s = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=self._done, rate=f"{self._rate(now_s):.0f}/s")
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_EVERY_S
            self.line(f"{self._done} of {self._total}, {self._rate(now_s):.1f}/s, {self._time_left(now_s)} left")

    def line(self, text: str) -> None:
        """Print one plain line about this stage."""
        self._console.print(escaped_in_line(f"{self._stage}: {text}"), markup=False, highlight=False)

    def _rate(self, now_s: float) -> float:
        return self._done / max(now_s - self._started_s, 1e-9)

    def _time_left(self, now_s: float) -> str:
        seconds_left = int((self._total - self._done) / max(self._rate(now_s), 1e-9))
        hours, minutes = divmod(seconds_left // 60, 60)
        return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds_left % 60:02} s"
