"""One question in SQL, asked where it can do no harm: the inside of a process of its own, started by `foreign`.

It starts without an environment and gives itself limits before it reads the question. Its database is in memory, opens the
committed parts that it is told of and nothing else, and can't be told otherwise; the question is parsed alone first, and is
one SELECT over known tables. What is found goes to stdout as an Arrow stream; how it ended, to stderr.
"""

from __future__ import annotations

import itertools
import json
import resource
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

import duckdb
import pyarrow as pa

from dmforge.curation.lean import warm_up

FRAME = struct.Struct("<Q")
ROWS = 10_000
"""Rows that are sent at a time."""
SAFE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "python_scan_all_frames": False,
    "temp_directory": "",
}
NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "STATEMENT_NODE"})
"""What a statement may be made of: a CTE may hold an INSERT, too."""
TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "json_each"})
REFUSED_FUNCTIONS = frozenset({
    "current_setting", "getenv", "getvariable", "sleep_ms", "write_log", "nextval", "currval", "current_query", "setseed",
})  # fmt: skip
"""They read what is no data, wait, or leave something behind. Whatever touches files is a table function."""
SYSTEM = frozenset({"information_schema"})
"""Schemas that say what tables and columns there are."""
HELD = "held"
"""The schema of tables that only views name, as they name them."""
NO_MEMORY = ("bad_alloc", "out of memory", "allocat")
"""Words of errors that mean a limit was met."""
DEEPEST = 400
"""Levels of a statement that are followed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the process is given, beside tables."""

    sql: str
    views: Mapping[str, str]
    words: Mapping[str, str]
    """Statements of ours that make the words that the question uses."""
    files: Sequence[str]
    """What may be opened."""
    held: Sequence[str]
    """Tables that views name: they follow."""
    beside: Sequence[str]
    """Further tables, which follow then."""
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went."""

    kind: str
    """`done`, `refused`, `stopped`; or `wrong` where it makes no sense."""
    message: str = ""
    mend: str = ""


class Refused(Exception):
    """The question is not one that may be asked here."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message, self.mend = message, mend


def main() -> None:
    """Read what is told, answer, say how it ended."""
    warm_up()
    told, tables = _read(sys.stdin.buffer)
    try:
        ended = _answered(told, tables, sys.stdout.buffer)
    except MemoryError:
        ended = out_of_memory(told.memory_mb)
    sys.stderr.write(json.dumps(asdict(ended)))
    sys.stderr.flush()


def out_of_memory(memory_mb: int) -> Ended:
    return Ended("stopped", f"it wants more than {memory_mb} MB of memory", "ask for fewer rows, columns or groups at once")


def send(told: Told, tables: Mapping[str, pa.Table], pipe: IO[bytes]) -> None:
    """The other side of `_read`."""
    described = pa.py_buffer(json.dumps(asdict(told)).encode())
    for data in itertools.chain([described], (_ipc(tables[name]) for name in (*told.held, *told.beside))):
        pipe.write(FRAME.pack(data.size))
        pipe.write(data)
    pipe.flush()


def _ipc(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _read(pipe: IO[bytes]) -> tuple[Told, dict[str, pa.Table]]:
    told = Told(**json.loads(_frame(pipe)))
    return told, {name: pa.ipc.open_stream(_frame(pipe)).read_all() for name in (*told.held, *told.beside)}


def _frame(pipe: IO[bytes]) -> bytes:
    return pipe.read(FRAME.unpack(pipe.read(FRAME.size))[0])


def _answered(told: Told, tables: Mapping[str, pa.Table], out: IO[bytes]) -> Ended:
    _limit(told.memory_mb)
    try:
        connection = opened(told, tables)
        check(connection, told.sql, frozenset({*told.views, *told.words, *told.beside}))
        _stream(connection, told.sql, out)
    except Refused as refused:
        return Ended("refused", refused.message, refused.mend)
    except (duckdb.OutOfMemoryException, MemoryError):
        return out_of_memory(told.memory_mb)
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # what goes wrong on the way comes through Arrow
        if any(word in str(error).lower() for word in NO_MEMORY):
            return out_of_memory(told.memory_mb)
        return Ended("wrong", _first_line(error), "SHOW TABLES names the tables, DESCRIBE tasks the columns of one")
    return Ended("done")


def opened(told: Told, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """A database with all that may be asked, and locked: what `check` overlooks reaches no file, and no setting either."""
    connection = duckdb.connect(config={**SAFE, "memory_limit": f"{told.memory_mb}MB"})
    _furnish(connection, told, tables)
    _lock(connection, told.files)
    return connection


def _limit(memory_mb: int) -> None:
    """No byte into any file, no core; and no more memory: scalar functions take theirs past DuckDB's own limit."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    bound = used + (memory_mb + 512 << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _furnish(connection: duckdb.DuckDBPyConnection, told: Told, tables: Mapping[str, pa.Table]) -> None:
    connection.execute(f"CREATE SCHEMA {HELD}")
    for name, table in tables.items():
        if name in told.beside:
            connection.register(name, table)
            continue
        connection.register("coming", table)
        connection.execute(f'CREATE TABLE {HELD}."{name}" AS SELECT * FROM coming')
        connection.unregister("coming")
    for name, sql in told.views.items():
        connection.execute(f'CREATE VIEW "{name}" AS {sql}')
    for statement in told.words.values():
        connection.execute(statement)


def _lock(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> None:
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _stream(connection: duckdb.DuckDBPyConnection, sql: str, out: IO[bytes]) -> None:
    reader = connection.sql(sql).to_arrow_reader(ROWS)
    with pa.ipc.new_stream(out, reader.schema) as writer:  # pyright: ignore[reportArgumentType] (stdout is a file)
        for batch in reader:
            writer.write_batch(batch)
    out.flush()


def check(connection: duckdb.DuckDBPyConnection, sql: str, known: frozenset[str]) -> None:
    """Hold a question to one SELECT over known tables, by DuckDB's own parser; `Refused` says what else it is."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise Refused(_first_line(error), "write it as DuckDB reads it") from None
    if len(statements) != 1:
        raise Refused(f"{len(statements)} statements" if statements else "the question is empty", "give one SELECT")
    if statements[0].type != duckdb.StatementType.SELECT:
        word = str(statements[0].type).rpartition(".")[2]
        raise Refused(f"a statement of the kind {word}: only SELECT is allowed here", "give one SELECT; nothing can be changed")
    ((told,),) = connection.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchall()
    tree = json.loads(told)
    if tree["error"]:
        raise Refused(tree["error_message"], "give one SELECT")
    nodes = [node for statement in tree["statements"] for node in _nodes(statement["node"], 0)]
    own = {entry["key"].lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    for node in nodes:
        _check_node(node, known, own)


def _nodes(tree: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > DEEPEST:
        raise Refused("it is nested too deeply", "say it more simply")
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value, depth + 1)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value, depth + 1)


def _check_node(node: dict[str, Any], known: frozenset[str], own: set[str]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in NODES:
        word = kind.removesuffix("_NODE").removesuffix("_QUERY")
        raise Refused(f"{word} within a question: only SELECT is allowed here", "nothing can be changed")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            told = f"the table function {name}: files, settings and the network are out of reach here"
            raise Refused(
                told,
                f"ask the tables of the lake, SHOW TABLES; functions allowed in FROM: {', '.join(sorted(TABLE_FUNCTIONS))}",
            )
    if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in REFUSED_FUNCTIONS:
        raise Refused(f"the function {node['function_name']} is out of reach here")
    if kind == "BASE_TABLE":
        schema, name = str(node.get("schema_name", "")).lower(), str(node.get("table_name", ""))
        if schema not in SYSTEM and name.lower() not in known | own:
            raise Refused(f"there is no table {name!r}", f"there are {', '.join(sorted(known))}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:500]


if __name__ == "__main__":
    main()
