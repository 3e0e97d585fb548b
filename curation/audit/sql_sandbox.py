"""A sandbox for SQL that a person types: it runs in a process of its own, with limits of memory and time.

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

from dmforge.curation.audit import sql_sandbox_worker
from dmforge.curation.audit.printed_ids import with_ids
from dmforge.curation.audit.query import NO_TABLES, Tables, is_named, named_words, tables_of, with_words
from dmforge.curation.lake.views import LakeView
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.visible import storable

MEMORY_MB = 2048
WALL_S = 60.0
PASSED_ON = ("LD_LIBRARY_PATH", "PYTHONPATH")
"""Environment variables that a Python needs to start; keys and addresses are not passed on."""


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """The memory and the time that one query may use."""

    memory_mb: int = MEMORY_MB
    wall_timeout_s: float = WALL_S


@dataclass(frozen=True, slots=True)
class SqlOption:
    """The option of the command line with the query, and what to do where the query took too long."""

    name: str
    late: str


SQL = SqlOption("--sql", "ask for less, or give it longer with --seconds")


@contextmanager
def query_batches(
    view: LakeView, sql: str, limits: SqlLimits, extra_tables: Tables = NO_TABLES
) -> Generator[pa.RecordBatchReader]:
    """The answer to a query on the lake, as a stream of batches."""
    with sandboxed(*query_and_tables(view, sql, limits, extra_tables), limits.wall_timeout_s, SQL) as batch_reader:
        yield batch_reader


@contextmanager
def sandboxed(
    query: sql_sandbox_worker.SandboxRequest, tables: Mapping[str, pa.Table], wall_timeout_s: float, option: SqlOption
) -> Generator[pa.RecordBatchReader]:
    """The answer of a sandboxed process, as a stream. It is complete if the block reads it to its end without an error."""
    environment = {variable_name: os.environ[variable_name] for variable_name in PASSED_ON if variable_name in os.environ}
    command = [sys.executable, "-P", "-m", sql_sandbox_worker.__name__]
    with subprocess.Popen(  # the command is ours; the question goes through a pipe
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        is_late = threading.Event()
        kill_timer = threading.Timer(wall_timeout_s, lambda: (is_late.set(), process.kill()))
        try:
            try:
                with process.stdin as stdin_pipe:
                    sql_sandbox_worker.send(query, tables, stdin_pipe)
                kill_timer.start()
                yield pa.ipc.open_stream(process.stdout)  # pyright: ignore[reportArgumentType] (a pipe is a file)
            except (pa.ArrowInvalid, OSError):
                # the stream broke off, or never began: how it ended tells more
                _raise_failure(process, is_late, query.memory_mb, wall_timeout_s, option)
                raise
            _raise_failure(process, is_late, query.memory_mb, wall_timeout_s, option)
        finally:
            kill_timer.cancel()
            process.kill()


def _raise_failure(
    process: subprocess.Popen[bytes], is_late: threading.Event, memory_mb: int, wall_timeout_s: float, option: SqlOption
) -> None:
    """Wait for the process to end, and raise an error if it failed."""
    assert process.stdout is not None
    assert process.stderr is not None
    while process.stdout.read(1 << 20):
        pass  # what a refusal cut off
    stderr_text = process.stderr.read().decode("utf-8", "replace")
    process.wait()
    if is_late.is_set():
        raise DmforgeError(f"stopped after {wall_timeout_s:g} s", where=option.name, hint=option.late)
    sandbox_result = _parse_result(stderr_text)
    if (
        sandbox_result is None
        and process.returncode > 0
        and not any(memory_word in stderr_text.lower() for memory_word in ("memory", "alloc"))
    ):
        last_line = (stderr_text.splitlines() or ["without a message"])[-1]
        raise DmforgeError(f"the sandboxed process failed: {last_line}", where=option.name, hint="please report this")
    sandbox_result = sandbox_result or sql_sandbox_worker.out_of_memory(memory_mb)
    if sandbox_result.kind == "wrong":
        raise InputError(sandbox_result.message, where=option.name, hint=sandbox_result.hint)
    if sandbox_result.kind == "refused":
        raise InputError(f"refused: {sandbox_result.message}", where=option.name, hint=sandbox_result.hint)
    if sandbox_result.kind == "stopped":
        raise DmforgeError(f"stopped: {sandbox_result.message}", where=option.name, hint=sandbox_result.hint)


def _parse_result(json_text: str) -> sql_sandbox_worker.SandboxResult | None:
    """The result that the process printed; None for a traceback, or nothing, where the kernel gave it no more memory."""
    try:
        return sql_sandbox_worker.SandboxResult(**json.loads(json_text))
    except (ValueError, TypeError):
        return None


def query_and_tables(
    view: LakeView, sql: str, limits: SqlLimits, extra_tables: Tables = NO_TABLES
) -> tuple[sql_sandbox_worker.SandboxRequest, Mapping[str, pa.Table]]:
    """What the sandbox is sent: the query with its limits, and the tables that it may read from memory."""
    if storable(sql) != sql:
        raise InputError("the query is not valid UTF-8", where="--sql", hint="write it in letters that UTF-8 has")
    sql_with_words = with_words(sql)
    view.check_named(sql_with_words)
    view_sql_by_table = view.selects()
    in_memory_tables = view.in_memory_tables()
    # a word that the question does not hold is not made: the journal is long
    named_tables = {
        table_name: make_table()
        for table_name, make_table in {**tables_of(view), **extra_tables}.items()
        if is_named(table_name, sql_with_words)
    }
    query = sql_sandbox_worker.SandboxRequest(
        with_ids(sql), view_sql_by_table, named_words(sql), view.files(), tuple(in_memory_tables), tuple(named_tables),
        limits.memory_mb,
    )  # fmt: skip
    return query, {**in_memory_tables, **named_tables}
