"""Progress of a running stage: a bar with rate and time left on a terminal, a plain line now and then elsewhere.

Where a stage asks, both say what was asked, spent and refused so far: a failure is seen as it happens, not when the stage ends.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dmforge.curation.contract.budget import print_amount
from dmforge.curation.contract.request_totals import RequestTotals
from dmforge.curation.contract.run_events import BatchChanged, RequestEvent, RequestFailed, RequestsChanged, RunEvent
from dmforge.curation.io import machine
from dmforge.curation.io.terminal import duration_text
from dmforge.schemas.visible import escaped_in_line, shortened

LINE_EVERY_S = 30.0
"""Seconds between plain lines; the first comes after a third of that, so that a log shows early that work goes on."""
REASON_CHARS = 160
"""Characters of a provider's words in a line."""


class StageProgress:
    """Progress of one stage on stderr. Nothing is shown for a stage with nothing to do."""

    def __init__(self, console: Console, stage: str, total: int) -> None:
        self._console, self._stage, self._total = console, stage, total
        self._done = 0
        self._requests = RequestTotals()
        self._started_s = machine.current.monotonic()
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
            progress_columns = *progress_columns, TimeRemainingColumn(), TextColumn("{task.fields[requests]}")
            self._bar = Progress(*progress_columns, console=self._console)
            self._task = self._bar.add_task(self._stage, total=self._total, rate="", requests="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Count further inputs that were processed."""
        self._done += count
        self._show(machine.current.monotonic())

    def follow(self, event: RunEvent) -> None:
        """Count an event of the run, if it is a request of this stage; say what a provider made it change."""
        if isinstance(event, RequestsChanged) and event.stage == self._stage:
            self.line(f"{event.model}: {shortened(event.reason, 2 * REASON_CHARS)}")
        if isinstance(event, BatchChanged) and event.stage == self._stage:
            self.line(_batch_text(event))
        if not isinstance(event, RequestEvent) or event.stage != self._stage:
            return
        self._requests.add(event)
        now_s = machine.current.monotonic()
        if isinstance(event, RequestFailed) and self._requests.failures == 1:
            self._next_line_s = now_s  # the first failure is said at once: what is wrong may concern every request
        self._show(now_s, event.reason if isinstance(event, RequestFailed) else "")

    def _show(self, now_s: float, failure: str = "") -> None:
        is_due = now_s >= self._next_line_s
        if self._bar:
            self._bar.update(
                self._task, completed=self._done, rate=f"{self._rate(now_s):.0f}/s", requests=self._requests_text()
            )
            is_due = is_due and bool(failure)
        if not is_due:
            return
        self._next_line_s = now_s + LINE_EVERY_S
        failure_reason = shortened(self._requests.last_reason, REASON_CHARS)
        if self._bar:
            self.line(f"a request failed: {failure_reason}")
            return
        time_left = f", {self._rate(now_s):.1f}/s, {self._time_left(now_s)} left" if self._done else ""
        requests_text = f"; {self._requests_text()}" if self._requests.calls else ""
        self.line(
            f"{self._done} of {self._total}{time_left}{requests_text}"
            + (f", the last: {failure_reason}" if failure_reason else "")
        )

    def _requests_text(self) -> str:
        if not self._requests.calls:
            return ""
        failures_text = f", {self._requests.failures} failed" if self._requests.failures else ""
        return f"{self._requests.calls} calls, ${print_amount(self._requests.usd)}{failures_text}"

    def line(self, text: str) -> None:
        """Print one plain line about this stage."""
        self._console.print(escaped_in_line(f"{self._stage}: {text}"), markup=False, highlight=False)

    def _rate(self, now_s: float) -> float:
        return self._done / max(now_s - self._started_s, 1e-9)

    def _time_left(self, now_s: float) -> str:
        return duration_text(int((self._total - self._done) / max(self._rate(now_s), 1e-9)))


def _batch_text(event: BatchChanged) -> str:
    batch_text = f"batch {event.batch} with {event.requests} requests"
    if event.state == "is out":
        return f"{batch_text} is out; the run waits for it, and may be stopped meanwhile"
    if event.state == "stays out":
        return f"{batch_text} stays out: the next run waits for it"
    return f"batch {event.batch}: {event.state}, {event.requests} answers"
