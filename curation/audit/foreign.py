"""SQL that a person types, asked in a process of its own, with limits of memory and time.

DuckDB can be interrupted between the pieces of its work, not within a function that makes one endless text, and such a function
takes its memory past DuckDB's own limit. So the process is bounded by the kernel, and killed when its time is over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from dmforge.curation.audit import locked
from dmforge.curation.audit.naming import with_ids
from dmforge.curation.audit.query import NONE, Tables, is_named, stages, with_words, words
from dmforge.curation.lake.views import View
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.visible import storable

MEMORY_MB = 2048
WALL_S = 60.0
PASSED_ON = ("LD_LIBRARY_PATH", "PYTHONPATH")
"""What a Python needs to start; keys and addresses stay here."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question may use."""

    memory_mb: int = MEMORY_MB
    wall_s: float = WALL_S


@dataclass(frozen=True, slots=True)
class Option:
    """Where it was typed, and what to do where that took too long."""

    name: str
    late: str


SQL = Option("--sql", "ask for less, or give it longer with --seconds")


@contextmanager
def asking(view: View, sql: str, limits: Limits, beside: Tables = NONE) -> Generator[pa.RecordBatchReader]:
    """The answer to a question about the lake, as it comes."""
    with sandboxed(*telling(view, sql, limits, beside), limits.wall_s, SQL) as batches:
        yield batches


@contextmanager
def sandboxed(
    told: locked.Told, tables: Mapping[str, pa.Table], wall_s: float, option: Option
) -> Generator[pa.RecordBatchReader]:
    """An answer as it comes. Whoever has read it to its end and leaves the block without an error has all of it."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, "-P", "-m", locked.__name__]
    with subprocess.Popen(  # the command is ours; the question goes through a pipe
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(wall_s, lambda: (late.set(), process.kill()))
        try:
            try:
                with process.stdin as pipe:
                    locked.send(told, tables, pipe)
                timer.start()
                yield pa.ipc.open_stream(process.stdout)  # pyright: ignore[reportArgumentType] (a pipe is a file)
            except (pa.ArrowInvalid, OSError):
                # the stream broke off, or never began: how it ended tells more
                _finish(process, late, told.memory_mb, wall_s, option)
                raise
            _finish(process, late, told.memory_mb, wall_s, option)
        finally:
            timer.cancel()
            process.kill()


def _finish(process: subprocess.Popen[bytes], late: threading.Event, memory_mb: int, wall_s: float, option: Option) -> None:
    """How it ended, once nothing more comes; an error if not well."""
    assert process.stdout is not None
    assert process.stderr is not None
    while process.stdout.read(1 << 20):
        pass  # what a refusal cut off
    text = process.stderr.read().decode("utf-8", "replace")
    process.wait()
    if late.is_set():
        raise DmforgeError(f"stopped after {wall_s:g} s", where=option.name, mend=option.late)
    ended = _ended(text)
    if ended is None and process.returncode > 0 and not any(word in text.lower() for word in ("memory", "alloc")):
        told = (text.splitlines() or ["it said nothing"])[-1]
        raise DmforgeError(f"the process that was asked broke off: {told}", where=option.name, mend="please report this")
    ended = ended or locked.out_of_memory(memory_mb)
    if ended.kind == "wrong":
        raise InputError(ended.message, where=option.name, mend=ended.mend)
    if ended.kind == "refused":
        raise InputError(f"refused: {ended.message}", where=option.name, mend=ended.mend)
    if ended.kind == "stopped":
        raise DmforgeError(f"stopped: {ended.message}", where=option.name, mend=ended.mend)


def _ended(text: str) -> locked.Ended | None:
    """What it said; nothing, or a traceback, where the kernel gave it no more memory."""
    try:
        return locked.Ended(**json.loads(text))
    except (ValueError, TypeError):
        return None


def telling(view: View, sql: str, limits: Limits, beside: Tables = NONE) -> tuple[locked.Told, Mapping[str, pa.Table]]:
    """What the other process is told, and the tables that follow."""
    if storable(sql) != sql:
        raise InputError(
            "the question holds what is no text in UTF-8", where="--sql", mend="write it in letters that UTF-8 has"
        )
    view.check_named(with_words(sql))
    views = view.selects()
    held = view.in_memory_tables()
    # a word that the question does not hold is not made: the journal is long
    besides = {name: make() for name, make in {"stages": lambda: stages(view), **beside}.items() if is_named(name, sql)}
    told = locked.Told(with_ids(sql), views, words(), view.files(), tuple(held), tuple(besides), limits.memory_mb)
    return told, {**held, **besides}
