"""Parts as SQL: of the rows of some of them, with the columns of today, whichever version wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from dmforge.curation.contract.stage_results import row_schema
from dmforge.curation.lake.partition import Bounds
from dmforge.curation.lake.parts import Part, id_column, videos_of
from dmforge.curation.lake.row_sets import BuildSql
from dmforge.curation.lake.sql_text import empty_sql, quoted_path, range_condition
from dmforge.curation.lake.video_range import video_column
from dmforge.schemas.columns import default_row, grown_columns
from dmforge.schemas.ids import digest
from dmforge.schemas.records import Record


class PartSelects:
    """SQL of the parts of a lake."""

    def __init__(self, lake_folder: Path, in_memory_sql: Callable[[str, pa.Table], str]) -> None:
        """`in_memory_sql` keeps rows that lie in no part under a name, and says the SQL of them."""
        self._folder, self._in_memory_sql = lake_folder, in_memory_sql

    def of_all(self, parts: Sequence[Part], record: type[Record], columns: pa.Schema | None = None) -> BuildSql:
        """SQL of all rows of some parts, or of those parts that may have rows about the videos of a range."""
        stored = row_schema(record) if columns is None else columns
        return lambda bounds: self.sql(stored, self.overlapping(parts, bounds), record)

    def overlapping(self, parts: Sequence[Part], bounds: Bounds | None) -> Sequence[Part]:
        """The parts that may have rows about the videos of a range."""
        if bounds is None:
            return parts
        low, high = bounds["low"].hex(), bounds["high"].hex()
        return [part for part in parts if videos_of(self._folder, part).overlaps(low, high)]

    def ids_within(self, parts: Sequence[Part], bounds: Bounds) -> str:
        """SQL of the ids in parts of one table about the videos of a range: those whose extent commits say. Columns that came
        later aren't looked for: every part would have to be asked."""
        id_name, video_name = id_column(parts[0].table), video_column(parts[0].table)
        assert video_name is not None, f"{parts[0].table} has ranges, so its videos are known"
        columns = pa.schema([(name, pa.binary(16)) for name in dict.fromkeys((id_name, video_name))])
        files_sql = self.sql(columns, self.overlapping(parts, bounds))
        return f"SELECT {id_name} AS id FROM ({files_sql}) WHERE {range_condition(video_name)}"

    def sql(self, columns: pa.Schema, parts: Sequence[Part], record: type[Record] | None = None) -> str:
        """SQL of all rows of some parts; as rows of a record with what it got after they were written."""
        if not parts:
            return empty_sql(columns)
        expression_of = {column: f'"{column}"' for column in columns.names}
        folder = quoted_path(self._folder)[:-1]  # names of parts have no character that needs quoting
        paths_sql = ", ".join([f"{folder}/{part.table}/{part.name}'" for part in parts])
        file_list_sql = f"[{paths_sql}], hive_partitioning = false"
        later_defaults = default_row(record) if record else pa.table({})
        if later_defaults.num_columns:  # parts of earlier formats lack these columns: their rows have the defaults
            defaults_sql = self._in_memory_sql(f"defaults_{digest('schema', columns.to_string()).hex()}", later_defaults)
            for column in later_defaults.column_names:
                expression_of[column] = f'coalesce("{column}", (SELECT "{column}" FROM ({defaults_sql}))) AS "{column}"'
        elif not (record and grown_columns(record)):
            return f"SELECT {', '.join(expression_of.values())} FROM read_parquet({file_list_sql})"
        # by name: structs of earlier formats lack members, which are NULL in their rows
        stored_rows_sql = f"SELECT * FROM read_parquet({file_list_sql}, union_by_name = true)"
        return f"SELECT {', '.join(expression_of.values())} FROM ({stored_rows_sql} UNION ALL BY NAME {empty_sql(columns)})"
