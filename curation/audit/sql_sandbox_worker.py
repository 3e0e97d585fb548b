"""The sandboxed process, started by `sql_sandbox`: it runs one SQL query where it can do no harm.

It starts without an environment and limits itself before it reads the query. Its database is in memory, opens the given
committed parts and nothing else, and can't be configured otherwise; the query is parsed alone first, and must be one SELECT
over known tables. The answer goes to stdout as an Arrow stream, the result of the run to stderr.
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

from dmforge.curation.io.arrow_stream import stream_of, table_of
from dmforge.curation.io.memory_limit import limit_memory
from dmforge.curation.io.process_startup import warm_up
from dmforge.schemas.errors import first_line

FRAME = struct.Struct("<Q")
BATCH_ROWS = 10_000
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
"""The kinds of nodes that a statement may be made of: a CTE may hold an INSERT, too."""
TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "json_each"})
REFUSED_FUNCTIONS = frozenset({
    "current_setting", "getenv", "getvariable", "sleep_ms", "write_log", "nextval", "currval", "current_query", "setseed",
})  # fmt: skip
"""They read what is no data, wait, or leave something behind. Whatever touches files is a table function."""
SYSTEM_SCHEMAS = frozenset({"information_schema"})
"""Schemas that say what tables and columns there are."""
HELD = "held"
"""The schema of tables that only views name, as they name them."""
OUT_OF_MEMORY_WORDS = ("bad_alloc", "out of memory", "allocat")
"""Words of errors that mean a limit was met."""
MAX_MESSAGE_CHARS = 500
"""Of what DuckDB says of a query, which may quote all of it."""
TABLE_HINT = "SHOW TABLES names the tables, DESCRIBE tasks the columns of one"
ID_HINT = (
    "ids are compared whole, as they are printed: id = 'video_...'; `dmforge why BEGINNING` finds the one that begins so; "
    "ids are bytes (BLOB), and functions of texts don't take them"
)
MAX_DEPTH = 400
"""Levels of a statement that are followed."""


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """A query with all that the process needs for it, but for the contents of tables."""

    sql: str
    views: Mapping[str, str]
    words: Mapping[str, str]
    """Our own statements that define the words that queries share."""
    files: Sequence[str]
    """Files that may be opened."""
    in_memory: Sequence[str]
    """Tables from memory that views name: their contents follow."""
    extra_tables: Sequence[str]
    """Further tables that the query names: their contents follow then."""
    memory_mb: int


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """The result of a query that ran."""

    kind: str
    """`done`, `refused`, `stopped`; or `wrong` for an error in the query."""
    message: str = ""
    hint: str = ""


class RefusedSql(Exception):
    """The query is not allowed in the sandbox."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def main() -> None:
    """Read a query, run it, print its result."""
    warm_up()
    sandbox_request, table_by_name = _receive(sys.stdin.buffer)
    try:
        sandbox_result = _run_query(sandbox_request, table_by_name, sys.stdout.buffer)
    except MemoryError:
        sandbox_result = out_of_memory(sandbox_request.memory_mb)
    sys.stderr.write(json.dumps(asdict(sandbox_result)))
    sys.stderr.flush()


def out_of_memory(memory_mb: int) -> SandboxResult:
    return SandboxResult(
        "stopped", f"it wants more than {memory_mb} MB of memory", "ask for fewer rows, columns or groups at once"
    )


def send(query: SandboxRequest, tables: Mapping[str, pa.Table], pipe: IO[bytes]) -> None:
    """Send a query and its tables to the process, which `_receive` reads."""
    request_json = pa.py_buffer(json.dumps(asdict(query)).encode())
    for frame_data in itertools.chain(
        [request_json], (stream_of(tables[table_name]) for table_name in (*query.in_memory, *query.extra_tables))
    ):
        pipe.write(FRAME.pack(frame_data.size))
        pipe.write(frame_data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[SandboxRequest, dict[str, pa.Table]]:
    query = SandboxRequest(**json.loads(_read_frame(pipe)))
    return query, {table_name: table_of(_read_frame(pipe)) for table_name in (*query.in_memory, *query.extra_tables)}


def _read_frame(pipe: IO[bytes]) -> bytes:
    return pipe.read(FRAME.unpack(pipe.read(FRAME.size))[0])


def _run_query(query: SandboxRequest, tables: Mapping[str, pa.Table], out: IO[bytes]) -> SandboxResult:
    _limit(query.memory_mb)
    try:
        connection = open_database(query, tables)
        check(connection, query.sql, frozenset({*query.views, *query.words, *query.extra_tables}))
        _stream(connection, query.sql, out)
    except RefusedSql as refusal:
        return SandboxResult("refused", refusal.message, refusal.hint)
    except (duckdb.OutOfMemoryException, MemoryError):
        return out_of_memory(query.memory_mb)
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # what goes wrong on the way comes through Arrow
        if any(memory_word in str(error).lower() for memory_word in OUT_OF_MEMORY_WORDS):
            return out_of_memory(query.memory_mb)
        message = first_line(error)[:MAX_MESSAGE_CHARS]
        return SandboxResult("wrong", message, ID_HINT if "BLOB" in message else TABLE_HINT)
    return SandboxResult("done")


def open_database(query: SandboxRequest, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """A database with all tables of a query, and locked: what `check` overlooks reaches no file, and no setting either."""
    connection = duckdb.connect(config={**SAFE, "memory_limit": f"{query.memory_mb}MB"})
    _create_tables(connection, query, tables)
    _lock(connection, query.files)
    return connection


def _limit(memory_mb: int) -> None:
    """Limit this process: no byte into any file, no core; and no more memory, as functions can pass DuckDB's own limit."""
    limit_memory(memory_mb + 512 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _create_tables(connection: duckdb.DuckDBPyConnection, query: SandboxRequest, tables: Mapping[str, pa.Table]) -> None:
    connection.execute(f"CREATE SCHEMA {HELD}")
    for table_name, table in tables.items():
        if table_name in query.extra_tables:
            connection.register(table_name, table)
            continue
        connection.register("coming", table)
        connection.execute(f'CREATE TABLE {HELD}."{table_name}" AS SELECT * FROM coming')
        connection.unregister("coming")
    for table_name, view_sql in query.views.items():
        connection.execute(f'CREATE VIEW "{table_name}" AS {view_sql}')
    for statement in query.words.values():
        connection.execute(statement)


def _lock(connection: duckdb.DuckDBPyConnection, readable_files: Sequence[str]) -> None:
    path_list = ", ".join("'" + readable_file.replace("'", "''") + "'" for readable_file in readable_files)
    connection.execute(f"SET allowed_paths = [{path_list}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _stream(connection: duckdb.DuckDBPyConnection, sql: str, out: IO[bytes]) -> None:
    batch_reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
    with pa.ipc.new_stream(out, batch_reader.schema) as writer:  # pyright: ignore[reportArgumentType] (stdout is a file)
        for batch in batch_reader:
            writer.write_batch(batch)
    out.flush()


def check(connection: duckdb.DuckDBPyConnection, sql: str, known_tables: frozenset[str]) -> None:
    """Check that a query is one SELECT over known tables, by DuckDB's own parser; `RefusedSql` says what else it is."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise RefusedSql(first_line(error)[:MAX_MESSAGE_CHARS], "write it as DuckDB reads it") from None
    if len(statements) != 1:
        raise RefusedSql(f"{len(statements)} statements" if statements else "the question is empty", "give one SELECT")
    if statements[0].type != duckdb.StatementType.SELECT:
        statement_type = str(statements[0].type).rpartition(".")[2]
        raise RefusedSql(
            f"a statement of the kind {statement_type}: only SELECT is allowed here", "give one SELECT; nothing can be changed"
        )
    syntax_nodes = [syntax_node for statement in parsed_statements(connection, sql) for syntax_node in _nodes(statement, 0)]
    cte_names = {
        cte_entry["key"].lower() for syntax_node in syntax_nodes for cte_entry in syntax_node.get("cte_map", {}).get("map", ())
    }
    for syntax_node in syntax_nodes:
        _check_node(syntax_node, known_tables, cte_names)


def parsed_statements(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """The statements of a text as trees, by DuckDB's own parser; `RefusedSql` where they are no SELECTs."""
    ((serialized,),) = connection.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchall()
    tree = json.loads(serialized)
    if tree["error"]:
        raise RefusedSql(tree["error_message"], "give one SELECT")
    return [statement["node"] for statement in tree["statements"]]


def _nodes(tree: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > MAX_DEPTH:
        raise RefusedSql("it is nested too deeply", "say it more simply")
    if isinstance(tree, dict):
        yield tree
        for subtree in tree.values():
            yield from _nodes(subtree, depth + 1)
    elif isinstance(tree, list):
        for subtree in tree:
            yield from _nodes(subtree, depth + 1)


def _check_node(node: dict[str, Any], known_tables: frozenset[str], cte_names: set[str]) -> None:
    node_type = str(node.get("type", ""))
    if node_type.endswith("_NODE") and node_type not in NODES:
        statement_word = node_type.removesuffix("_NODE").removesuffix("_QUERY")
        raise RefusedSql(f"{statement_word} within a question: only SELECT is allowed here", "nothing can be changed")
    if node_type == "TABLE_FUNCTION":
        lowercase_name = str(node["function"].get("function_name", "")).lower()
        if lowercase_name not in TABLE_FUNCTIONS:
            message = f"the table function {lowercase_name}: files, settings and the network are out of reach here"
            raise RefusedSql(
                message,
                f"ask the tables of the lake, SHOW TABLES; functions allowed in FROM: {', '.join(sorted(TABLE_FUNCTIONS))}",
            )
    if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in REFUSED_FUNCTIONS:
        raise RefusedSql(f"the function {node['function_name']} is out of reach here")
    if node_type == "BASE_TABLE":
        schema, lowercase_name = str(node.get("schema_name", "")).lower(), str(node.get("table_name", ""))
        if schema not in SYSTEM_SCHEMAS and lowercase_name.lower() not in known_tables | cte_names:
            raise RefusedSql(f"there is no table {lowercase_name!r}", f"there are {', '.join(sorted(known_tables))}")


if __name__ == "__main__":
    main()
