"""What a row of the lake is: frozen, typed, and named by a digest of what it says. The tables are in `records`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

from dmforge.schemas.columns import GROWN, SINCE, plain
from dmforge.schemas.ids import Id, digest, show

TABLES: dict[str, type[Record]] = {}
"""The record class of each table, as far as its module was imported."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of one table. Its id is computed from its content unless it is being read back."""

    kind: ClassVar[str]
    table: ClassVar[str]
    video_column: ClassVar[str] = "video"
    """The column that holds the video a row is about: batches are cut in its order."""
    precedence: ClassVar[tuple[str, ...]] = ()
    """The columns by which, of a row that was made more than once, the first one counts."""

    id: Id = field(default=b"", kw_only=True)
    """The digest of what the row says, or of the file that it is about: its name everywhere."""

    def __init_subclass__(cls) -> None:
        TABLES[cls.table] = cls

    def __post_init__(self) -> None:
        if not self.id:
            excluded_columns = _aside(type(self)) | {
                column_name
                for column_name, column_default in _later(type(self))
                if getattr(self, column_name) == column_default
            }
            object.__setattr__(self, "id", digest(self.kind, plain(self, excluded_columns)))

    def __str__(self) -> str:
        return show(self.kind, self.id)


class Joined:
    """A row together with rows that it names by their ids. The first field is the input of a stage; every other one is called
    like the column of the input that holds its id. `X | None` is for a row that may not be there."""

    __slots__ = ()
    elsewhere = frozenset[str]()
    """Rows that may be about another video than the input is: all others are looked for near it, and not in a whole table."""

    @property
    def id(self) -> Id:
        return getattr(self, fields(self)[0].name).id  # pyright: ignore[reportArgumentType] (every kind is a dataclass)


Item = Record | Joined
"""One input of a stage."""


@cache
def _aside(record: type[Record]) -> frozenset[str]:
    """Fields that say where a row came from, not what it is: two rows that differ only there are the same row."""
    return frozenset(
        field.name for field in fields(record) if field.name == "id" or field.metadata.keys() & {"aside", "receipt"}
    )


@cache
def _later(record: type[Record]) -> tuple[tuple[str, Any], ...]:
    """Columns that came after the first format, with their defaults: a row at the default keeps the id that it had before."""
    return tuple((field.name, field.default) for field in fields(record) if SINCE in field.metadata)


def format_of(record: type[Record]) -> int:
    """The number of a table's format: that of its latest column, or of the latest member of a dataclass in one."""
    return max((number for f in fields(record) for number in (f.metadata.get(SINCE, 1), f.metadata.get(GROWN, 1))), default=1)


def table_formats() -> dict[str, int]:
    """The format number of every table."""
    return {table_name: format_of(record) for table_name, record in TABLES.items()}
