"""Writes an export in parts, on all cores. A part that is there is not written again.

Rows of a part are lines; its first line says which files it has and how long they are, so that what a failing machine has lost
is written again. Parts don't depend on each other or on who writes them, so an export has the same bytes however it came to be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from dmforge.curation.exports.export_part import PART_VIDEOS, ExportJob, part_counts, part_name, write_part
from dmforge.curation.exports.export_place import ExportPlace
from dmforge.curation.shards.corpus import Corpus
from dmforge.schemas.errors import DmforgeError, InputError

FEW_PARTS = 4
"""So many are written by this process: others take longer to start."""
OnPartWritten = Callable[[int, int], None]
"""Is told how many parts have been written, and of how many."""
COMMAND = (sys.executable, "-P", "-m", "dmforge.curation.exports.export_worker")


@dataclass(frozen=True, slots=True)
class WrittenParts:
    """The parts of an export, all of them written."""

    names: tuple[str, ...]
    table_rows: Counter[str]
    """How many rows each table has."""
    left_out: int


def write_parts(job: ExportJob, corpus: Corpus, place: ExportPlace, report: OnPartWritten) -> WrittenParts:
    """Write what is missing, and report each part."""
    part_numbers = range(-(-corpus.video_count // PART_VIDEOS))
    missing = [number for number in part_numbers if part_counts(place, number) is None]
    core_count = len(os.sched_getaffinity(0))
    if len(missing) <= FEW_PARTS or core_count == 1:
        for written_count, number in enumerate(missing, 1):
            write_part(job, number)
            report(written_count, len(missing))
    else:
        _write_side_by_side(job, missing, core_count, report)
    table_rows, left_out = Counter[str](), 0
    for number in part_numbers:
        counts = part_counts(place, number)
        assert counts is not None, "it has just been written"
        table_rows.update(counts["rows"])
        left_out += counts["left_out"]
    return WrittenParts(tuple(map(part_name, part_numbers)), table_rows, left_out)


def _write_side_by_side(job: ExportJob, missing: list[int], core_count: int, report: OnPartWritten) -> None:
    """Processes of their own, in which no script of a caller is run again; each takes the next part when it is done."""
    workers = [_start(job) for _ in range(min(core_count, len(missing)))]
    numbers, written = iter(missing), count(1)

    def on_written() -> None:
        report(next(written), len(missing))

    with ThreadPoolExecutor(len(workers)) as threads:
        try:
            for feeding in [threads.submit(_feed, worker, numbers, job, on_written) for worker in workers]:
                feeding.result()
        finally:  # where one has failed the others shall not go on either, and who waits for them is not kept waiting
            _end(workers)


def _start(job: ExportJob) -> subprocess.Popen[str]:
    # not in this session: Ctrl-C is for who waits
    worker = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(asdict(job)) + "\n")
    return worker


def _feed(worker: subprocess.Popen[str], numbers: Iterator[int], job: ExportJob, on_written: Callable[[], None]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    for number in numbers:
        try:
            worker.stdin.write(f"{number}\n")
            worker.stdin.flush()
            reply = worker.stdout.readline()
        except OSError:
            reply = ""
        if not reply:
            hint = "it may have had too little memory; the same command goes on from here"
            raise DmforgeError("a process of the export has ended", where=job.out, hint=hint)
        answer: dict[str, Any] = json.loads(reply)
        if answer:
            error_class = InputError if answer.pop("is_input") else DmforgeError
            raise error_class(answer.pop("message"), **answer)
        on_written()


def _end(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(OSError):
                    pipe.close()
