"""A log of a run's events in a file, one JSON line each, for programs that watch runs. Keys, prompts and replies are in none.

A line is one write at the end of the file: several ranks may share a file, and what a kill leaves is whole lines. A disk that
refuses stops the log, not the run, whose answers are paid for: it is said when the run has ended.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from dmforge.curation.contract.run_events import RunBegan, RunEnded, RunEvent
from dmforge.curation.engine.run_log import error_text
from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder
from dmforge.schemas.errors import DmforgeError


class EventLog:
    """A file that follows a run."""

    def __init__(self, path: Path, rank: int | None = None) -> None:
        self._path = path
        self._fields: dict[str, object] = {"run": ""} if rank is None else {"run": "", "rank": rank}
        self._has_ended = False
        self._disk_error: OSError | None = None
        with disk_errors(path):
            make_folder(path.parent)
            self._descriptor = machine.current.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            if _ends_within_a_line(path):
                machine.current.write(self._descriptor, b"\n")

    def follow(self, event: RunEvent) -> None:
        """Append an event as one line."""
        if isinstance(event, RunBegan):
            self._fields["run"] = event.run
        self._has_ended = self._has_ended or isinstance(event, RunEnded)
        iso_time = machine.current.utc_now().isoformat(timespec="milliseconds")
        event_line = json.dumps({"time": iso_time, "event": event.kind, **self._fields, **asdict(event)}) + "\n"
        if self._disk_error is None:
            try:
                machine.current.write(self._descriptor, event_line.encode("ascii"))
            except OSError as error:
                self._disk_error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not self._has_ended:  # it was refused before it began
            self.follow(RunEnded("failed", 0.0, error_text(error)))
        machine.current.close(self._descriptor)
        if self._disk_error is not None and error is None:
            reason = (self._disk_error.strerror or str(self._disk_error)).lower()
            hint = "the run itself is as it says; free some space, and later runs are logged again"
            raise DmforgeError(f"the log is not complete: the disk refused: {reason}", where=str(self._path), hint=hint)


def _ends_within_a_line(path: Path) -> bool:
    """Whether a file's last line was cut short, by a full disk, say."""
    if not stat.S_ISREG(path.stat().st_mode) or not path.stat().st_size:
        return False
    with path.open("rb") as log_file:
        log_file.seek(-1, os.SEEK_END)
        return log_file.read(1) != b"\n"
