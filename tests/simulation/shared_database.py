"""DuckDB for many small questions: a database of its own for each view, in one instance.

An instance of its own costs 19 ms of CPU, a database in it 1 ms; and half of what a simulation did was to connect.
"""

from __future__ import annotations

import itertools
from typing import Any

import duckdb

INSTANCE = duckdb.connect(config={"threads": 1})


class SharedDatabase:
    """Stands for a connection to a database of its own."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self._name = f"view_{next(self._numbers)}"
        self._connection = INSTANCE.cursor()
        self._connection.execute(f"ATTACH ':memory:' AS {self._name}; USE {self._name}")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        cursor.execute(f"USE {self._name}")
        return cursor

    def __enter__(self) -> SharedDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        """It goes with the last reference to it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __del__(self) -> None:
        self._connection.close()
        INSTANCE.execute(f"DETACH {self._name}")


def connect(config: object) -> SharedDatabase:
    """In place of `duckdb.connect`."""
    return SharedDatabase()
