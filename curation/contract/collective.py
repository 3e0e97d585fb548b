"""A stage that needs whole tables at once, and the view of the lake that it is given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import duckdb
import pyarrow as pa

from dmforge.curation.contract.stage import AnyStage, In, Out, Stage, StageConfig
from dmforge.curation.contract.stage_results import Origin, StageResults
from dmforge.schemas.records import Record

R = TypeVar("R", bound=Record)


class SqlRows(Protocol):
    """A set of rows as SQL."""

    @property
    def sql(self) -> str: ...

    def within(self, bounds: Mapping[str, bytes], /) -> str:
        """SQL of the rows about the videos of a range, to be asked with its bounds: it names the parts that may have some."""
        ...


@dataclass(frozen=True, slots=True)
class StageCounts:
    """The progress of a stage, counted in inputs."""

    pending: int
    made: int
    rejected: int
    quarantined: int

    @property
    def settled(self) -> int:
        return self.made + self.rejected + self.quarantined


class View(Protocol):
    """The current rows of a lake: a snapshot, in which every part that is read has been hashed."""

    @property
    def stages(self) -> Sequence[AnyStage]:
        """The stages of the recipe, in their order."""
        ...

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection in which every table of the lake is a view."""
        ...

    def cursor(self, question: str) -> duckdb.DuckDBPyConnection:
        """A cursor for one question, whose parts have been hashed."""
        ...

    def rows(self, record: type[Record], /, *, gated: bool = True) -> SqlRows:
        """The current rows of a table; those that gates let through, or all."""
        ...

    def table(self, sql: str, values: Mapping[str, object] | None = None) -> pa.Table:
        """What a query over the SQL of rows gives."""
        ...

    def ranges(self, record: type[Record], rows: int) -> list[Mapping[str, bytes]]:
        """Ranges of videos with about so many rows of a table each."""
        ...

    def about(self, bounds: Mapping[str, bytes], record: type[R], *, gated: bool = True) -> list[R]:
        """The rows of a table about the videos of a range."""
        ...

    def all_rows(self, record: type[R]) -> list[R]:
        """All current rows of a table that gates let through: for tables that memory holds."""
        ...

    def tally(self, stage: AnyStage, /) -> StageCounts:
        """Where a stage stands."""
        ...


class Collective(Stage[In, Out]):
    """Needs all of its tables at once: duplicates, select, pack. Done again whenever the set of ids that it saw changes."""

    config: StageConfig
    also_reads: ClassVar[tuple[type[Record], ...]] = ()
    """Further tables that it looks at; what is settled are the inputs of `reads`."""
    if_there: ClassVar[tuple[type[Record], ...]] = ()
    """Of these, tables that a recipe need not have a maker of: they are empty then."""

    @abstractmethod
    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        """Outcomes for every row of `reads`, in pieces of any size."""
