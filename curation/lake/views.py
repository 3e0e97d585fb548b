"""The lake as a recipe sees it: of every table, the rows whose whole ancestry is current. DuckDB reads, nothing is written."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from dmforge.curation.contract.collective import Collective, StageCounts
from dmforge.curation.contract.stage import AnyStage, Gate, Root
from dmforge.curation.contract.stage_results import MADE_FROM, row_schema
from dmforge.curation.lake.commits import Commit, Lake, extent_of
from dmforge.curation.lake.database import CONNECTION, interruptible
from dmforge.curation.lake.missing_stage import MissingStage
from dmforge.curation.lake.part_selects import PartSelects
from dmforge.curation.lake.partition import ALL, Bounds, Share
from dmforge.curation.lake.parts import Extent, Part, all_differ, check_parts, naming_damaged_part
from dmforge.curation.lake.progress_ranges import ProgressRange, progress_ranges
from dmforge.curation.lake.row_sets import RowSet
from dmforge.curation.lake.sql_text import range_condition, union_of, without_wildcards
from dmforge.schemas.columns import from_arrow, schema
from dmforge.schemas.ids import Id, base32, digest, show
from dmforge.schemas.records import RECORDS, Item, Outcome, Record

R = TypeVar("R", bound=Record)
RANGE_ROWS = 100_000
"""Rows of a range of ids that are counted at once."""
KNOWN = "known"
"""The schema of tables of ids that every range is joined with: they are read once."""
HELD = "held"
"""The schema of tables whose rows lie in no part."""
PART = re.compile(r"/([a-z][a-z0-9_]*)/(part-[a-z0-9_-]+\.parquet)'")
"""A part as SQL of a view names it: its table and its name."""


class LakeView:
    """What the stages of a recipe have made so far. A snapshot: commits published later are seen by the next view.

    Every part is hashed before the first query that reads it.
    """

    def __init__(
        self,
        lake: Lake,
        stages: Sequence[AnyStage],
        *,
        scanned_tables: Mapping[str, pa.Table] | None = None,
        last_video: Id | None = None,
    ) -> None:
        """`scanned_tables` are lists of root stages that replace the published ones: what a plan would work on.

        `last_video` is the last one of a pilot: what is about later ones isn't current in this view, at any stage.
        """
        self.stages, self._scanned, self._last_video = tuple(stages), scanned_tables or {}, last_video
        self._folder = lake.workspace.lake
        self._selects = PartSelects(self._folder, self._in_memory_sql)
        self.commits = tuple(lake.commits.values())
        self._by_variant: defaultdict[tuple[str, str], list[Commit]] = defaultdict(list)
        for commit in self.commits:
            self._by_variant[commit.stage, commit.variant].append(commit)
        self._hashed_parts: set[tuple[str, str]] = set()
        self._variants: dict[str, Id] = {}
        self._inputs: dict[str, RowSet] = {}
        self._rows_by_maker: dict[tuple[str, str], RowSet] = {}
        self._rows_seen: dict[tuple[type[Record], int, bool], RowSet] = {}
        self._extents: dict[str, Extent] = {}
        self._known_inputs: set[str] = set()
        self._unique_parts: dict[tuple[str, ...], bool] = {}
        self._progress_by_stage: dict[str, Sequence[ProgressRange] | None] = {}

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection in which every table of the lake is a view."""
        return self._connection

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Every table of the recipe as a view of its current rows; `outcomes` of all stages. All their parts are hashed."""
        self._hash_parts_of(" ".join(self.selects().values()))
        return self._database_with_views

    def cursor(self, question: str) -> duckdb.DuckDBPyConnection:
        """A cursor for one question in SQL. Only parts of the tables that it names are hashed."""
        self.check_named(question)
        return self._database_with_views.cursor()

    def check_named(self, text: str) -> None:
        """Hash the parts of every table whose name is a word of a text."""
        words_of_text = set(re.findall(r"\w+", text.lower()))
        self._hash_parts_of(" ".join(sql for table, sql in self.selects().items() if table in words_of_text))

    def _hash_parts_of(self, sql: str) -> None:
        """Hash the parts that SQL names."""
        unhashed_parts = sorted(set(PART.findall(sql)) - self._hashed_parts)
        check_parts(self._folder, [self._by_name[table_and_name] for table_and_name in unhashed_parts])
        self._hashed_parts.update(unhashed_parts)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Part]:
        return {(part.table, part.name): part for commit in self.commits for part in commit.parts}

    @cached_property
    def _database_with_views(self) -> duckdb.DuckDBPyConnection:
        # to make a view is to read a footer
        with interruptible(), naming_damaged_part(self._folder, list(self._by_name.values())):
            for table, sql in self.selects().items():
                self._database.execute(f'CREATE VIEW "{table}" AS {sql}')
        return self._database

    def selects(self) -> dict[str, str]:
        """Every table of the recipe as SQL of its current rows; `outcomes` of all stages."""
        records = {record.table: record for record in (*RECORDS, *(record for stage in self.stages for record in stage.makes))}
        sql_by_table = {table: self.rows(record, gated=False).sql for table, record in records.items()}
        outcome_sqls = [self.outcomes(stage) for stage in self.stages]
        return sql_by_table | {Outcome.table: union_of(outcome_sqls) or self._selects.sql(schema(Outcome), ())}

    def files(self) -> list[str]:
        """Every part that counts, as SQL of this view names it."""
        part_paths = (part.path(self._folder) for commit in self.commits for part in commit.parts)
        return sorted({name for part_path in part_paths for name in (str(part_path), without_wildcards(part_path))})

    def in_memory_tables(self) -> dict[str, pa.Table]:
        """The tables that SQL of this view names and whose rows lie in no part."""
        table_names = self._rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = $held ORDER BY 1", {"held": HELD})
        return {table_name: self.table(f"SELECT * FROM {HELD}.{table_name}") for (table_name,) in table_names}

    def inputs(self, stage: AnyStage) -> RowSet:
        """The inputs of a stage: what the stages before it made, unless they are listed."""
        if stage.name not in self._inputs:
            is_listed = isinstance(stage, (Root, MissingStage))
            self._inputs[stage.name] = self._listed(stage) if is_listed else self.rows(stage.reads, before_stage=stage)
        return self._inputs[stage.name]

    def rows(self, record: type[Record], before_stage: AnyStage | None = None, *, gated: bool = True) -> RowSet:
        """The current rows of a table that the stages before one made, or all stages; those that gates let through, or all."""
        stage_count = self.stages.index(before_stage) if before_stage is not None else len(self.stages)
        if (record, stage_count, gated) not in self._rows_seen:
            self._rows_seen[record, stage_count, gated] = self._rows_before(record, stage_count, gated=gated)
        return self._rows_seen[record, stage_count, gated]

    def _rows_before(self, record: type[Record], stage_count: int, *, gated: bool) -> RowSet:
        makers = [stage for stage in self.stages[:stage_count] if record in stage.makes]
        maker_rows = [self._made_by(stage, record) for stage in makers]
        if gated:
            maker_rows = [
                self._without_withheld_subjects(row_set, maker, stage_count)
                for row_set, maker in zip(maker_rows, makers, strict=True)
            ]
        parts = tuple(part for row_set in maker_rows for part in row_set.parts)
        # only where a row does stand twice: to see each once costs a sort of them all, in every query
        has_repeats = any(
            stage.allows_duplicate_rows and self._parts(stage, record.table) for stage in makers
        ) and not self._has_unique_ids(record, parts)
        precedence_sql = ", ".join((*record.precedence, MADE_FROM))
        gates = [(gate, "id") for gate in self.stages[:stage_count] if isinstance(gate, Gate) and gate.reads is record]

        def build(bounds: Bounds | None) -> str:
            maker_sqls = [row_set.build(bounds) for row_set in maker_rows]
            rows_sql = union_of(maker_sqls) or self._selects.sql(row_schema(record), ())
            if has_repeats:
                rows_sql = (
                    f"SELECT * FROM ({rows_sql}) QUALIFY row_number() OVER (PARTITION BY id ORDER BY {precedence_sql}) = 1"
                )
            return self._passing_sql(rows_sql, gates, bounds) if gated else rows_sql

        is_whole = all(row_set.is_whole for row_set in maker_rows) and not has_repeats and not (gated and gates)
        return RowSet(build, record, parts, is_whole, is_whole and sum(bool(row_set.parts) for row_set in maker_rows) <= 1)

    def _without_withheld_subjects(self, rows: RowSet, maker: AnyStage, stage_count: int) -> RowSet:
        """Rows without those about a subject that a later gate keeps back: a candidate goes with its task. Rows that were made
        behind a gate were made from what it let through."""
        later_stages, columns = self.stages[self.stages.index(maker) + 1 : stage_count], schema(rows.record).names
        gates = [(gate, gate.reads.kind) for gate in later_stages if isinstance(gate, Gate) and gate.reads.kind in columns]
        if not gates or not rows.parts:
            return rows
        return RowSet(
            lambda bounds: self._passing_sql(rows.build(bounds), gates, bounds), rows.record, rows.parts, is_whole=False
        )

    def _passing_sql(self, sql: str, gates: Sequence[tuple[AnyStage, str]], bounds: Bounds | None) -> str:
        """SQL of the rows whose column names what a gate lets through, for each of these gates and columns."""
        for gate, id_column in gates:
            assert isinstance(gate, Gate)
            passing_ids_sql = gate.passing(self._made_by(gate, gate.makes[0]).build(bounds))
            sql = f"SELECT r.* FROM ({sql}) r SEMI JOIN ({passing_ids_sql}) g ON r.{id_column} = g.id"
        return sql

    def repeated(self, stage: AnyStage) -> str | None:
        """The id of a row that a stage made from two inputs, if there is one."""
        for record in stage.makes:
            row_set = self._made_by(stage, record)
            for bounds in ALL.ranges(1 + sum(part.rows for part in row_set.parts) // RANGE_ROWS):
                duplicates_sql = f"SELECT id FROM ({row_set.within(bounds)}) GROUP BY id HAVING count(*) > 1 LIMIT 1"
                if duplicate_rows := self._rows(duplicates_sql, bounds):
                    return show(record.kind, duplicate_rows[0][0])
        return None

    def outcomes(self, stage: AnyStage) -> str:
        """SQL of a stage's outcomes that count now: those of current inputs."""
        outcome_files_sql = self._selects.sql(schema(Outcome), self._parts(stage, Outcome.table))
        if self._is_complete(stage):
            return outcome_files_sql
        return f"SELECT * FROM ({outcome_files_sql}) o SEMI JOIN ({self.inputs(stage).sql}) i ON o.input = i.id"

    def variant(self, stage: AnyStage) -> Id:
        """The variant of a stage, which with an input makes the work key. A Collective's holds the set of ids that it sees."""
        if stage.name not in self._variants:
            self._variants[stage.name] = self._collective_variant(stage) if isinstance(stage, Collective) else stage.variant
        return self._variants[stage.name]

    def tally(self, stage: AnyStage, share: Share = ALL) -> StageCounts:
        """The progress of a stage with the videos of a share."""
        if share == ALL and self._is_complete(stage):
            done = self._commits(stage)
            return StageCounts(0, sum(c.made for c in done), sum(c.rejected for c in done), sum(c.quarantined for c in done))
        counts, input_rows = Counter[str](), sum(part.rows for part in self.inputs(stage).parts)
        ranges: Iterable[Bounds] = share.ranges(1 + input_rows // RANGE_ROWS)
        if share == ALL and (progress := self._progress(stage)) is not None:
            all_ranges, counts = list(ranges), self._counts_of_others(stage, progress)
            ranges = (bounds for mixed in progress if mixed.progress == "mixed" for bounds in mixed.clipped(all_ranges))
        for bounds in ranges:
            joined_sql = (
                f"({self._ids_within(stage, bounds)}) i LEFT JOIN ({self._outcomes_within(stage, bounds)}) o ON o.input = i.id"
            )
            counts_sql = f"SELECT coalesce(o.status, 'pending'), count(DISTINCT i.id) FROM {joined_sql} GROUP BY 1"
            counts.update(dict(self._rows(counts_sql, bounds)))
        return StageCounts(*(counts[status] for status in ("pending", "made", "rejected", "quarantined")))

    def _counts_of_others(self, stage: AnyStage, progress: Sequence[ProgressRange]) -> Counter[str]:
        """Inputs by status in all ranges that aren't mixed: from commits, but for parts that lie across a border."""
        counts, commit_of = Counter[str](), {part: c for c in self._commits(stage) for part in c.of(Outcome.table)}
        for progress_range in progress:
            if progress_range.progress == "untouched":
                counts["pending"] += progress_range.inputs
            for part in progress_range.outcomes_inside:
                commit = commit_of[part]
                counts.update(made=commit.made, rejected=commit.rejected, quarantined=commit.quarantined)
            if progress_range.outcomes_across:
                files_sql = self._selects.sql(schema(Outcome), progress_range.outcomes_across)
                counts_sql = f"SELECT status, count(*) FROM ({files_sql}) WHERE {range_condition('video')} GROUP BY 1"
                counts.update(dict(self._rows(counts_sql, progress_range.bounds)))
        return counts

    def _progress(self, stage: AnyStage) -> Sequence[ProgressRange] | None:
        """How far a stage has come; None where that isn't to be had from commits."""
        if stage.name not in self._progress_by_stage:
            inputs, outcomes = self.inputs(stage), self._parts(stage, Outcome.table)
            is_known = inputs.is_whole and inputs.is_distinct and all(part.videos.first for part in (*inputs.parts, *outcomes))
            progress = progress_ranges(inputs.parts, outcomes, self._extent_within) if is_known else None
            self._progress_by_stage[stage.name] = progress
        return self._progress_by_stage[stage.name]

    def _extent_within(self, parts: Sequence[Part], bounds: Bounds) -> Extent:
        return Extent.of(self.table(self._selects.ids_within(parts, bounds), bounds).column("id"))

    def unsettled(self, stage: AnyStage, bounds: Bounds) -> Bounds | None:
        """What of a range is left without what is settled at its ends; None where all of it is, as far as commits say."""
        progress = self._progress(stage)
        if progress is None:
            return bounds
        pieces = [piece for some in progress if some.progress != "settled" for piece in some.clipped([bounds])]
        return {"low": pieces[0]["low"], "high": pieces[-1]["high"]} if pieces else None

    def pending(self, stage: AnyStage, bounds: Bounds) -> str:
        """SQL of the inputs without an outcome about the videos of a range."""
        video_column = self.inputs(stage).record.video_column
        video_alias_sql = "" if video_column == "video" else f", {video_column} AS video"
        inputs_sql = f"SELECT *{video_alias_sql} FROM ({self.inputs(stage).within(bounds)})"
        return f"SELECT i.* FROM ({inputs_sql}) i ANTI JOIN ({self._outcomes_within(stage, bounds)}) o ON o.input = i.id"

    def ever_settled(self, stage: AnyStage) -> bool:
        """Whether a stage has settled any input, be it one that its recipe no longer has."""
        return bool(self._commits(stage))

    def _ids_within(self, stage: AnyStage, bounds: Bounds) -> str:
        """SQL of the ids of a stage's inputs about the videos of a range."""
        inputs = self.inputs(stage)
        if not (inputs.is_whole and inputs.parts) or isinstance(stage, MissingStage):
            return f"SELECT id FROM ({inputs.within(bounds)})"
        return self._selects.ids_within(inputs.parts, bounds)

    def _outcomes_within(self, stage: AnyStage, bounds: Bounds) -> str:
        outcome_parts = self._selects.overlapping(self._parts(stage, Outcome.table), bounds)
        return (
            f"SELECT input, status FROM ({self._selects.sql(schema(Outcome), outcome_parts)}) WHERE {range_condition('video')}"
        )

    def yield_of(self, stage: AnyStage, record: type[Record]) -> float:
        """Rows of a table that an input of a stage gave so far, on average; one each where nothing is known."""
        commits = self._commits(stage)
        settled_inputs = sum(commit.inputs for commit in commits)
        return (
            sum(part.rows for commit in commits for part in commit.of(record.table)) / settled_inputs if settled_inputs else 1.0
        )

    def superseded(self, stage: AnyStage) -> int:
        """How many outcomes an earlier config or version left; going back to it costs nothing."""
        variant = base32(self.variant(stage))
        return sum(commit.inputs for commit in self.commits if commit.stage == stage.name and commit.variant != variant)

    def extent(self, rows: RowSet) -> Extent:
        """The extent of rows: from the commits where every row counts, else by reading ids."""
        if rows.is_whole:
            return extent_of(rows.parts)
        if rows.sql not in self._extents:
            self._hash_parts_of(rows.sql)
            with interruptible():
                id_reader = self._database.cursor().sql(f"SELECT id FROM ({rows.sql})").to_arrow_reader(100_000)
                self._extents[rows.sql] = sum((Extent.of(batch.column(0)) for batch in id_reader), Extent())
        return self._extents[rows.sql]

    def table(self, sql: str, values: Mapping[str, object] | None = None) -> pa.Table:
        """The result of a query over this view's own SQL."""
        self._hash_parts_of(sql)
        return self.unchecked(sql, values)

    def unchecked(self, sql: str, values: Mapping[str, object] | None = None) -> pa.Table:
        """The result of a query over parts that are not hashed first: for a few rows of a large lake."""
        with interruptible(), naming_damaged_part(self._folder, list(self._by_name.values())):
            return self._database.cursor().sql(sql, params=values).to_arrow_table()

    def last_of_first(self, videos: int) -> Id:
        """The id up to which a pilot on so many videos goes. Ids are digests, so the first ones are a fair draw."""
        video_selects = [
            f"SELECT {stage.reads.video_column} AS video FROM ({self.inputs(stage).sql})"
            for stage in self.stages
            if isinstance(stage, Root)
        ]
        video_rows = self._rows(f"SELECT DISTINCT video FROM ({union_of(video_selects)}) ORDER BY 1 LIMIT {int(videos)}", {})
        return video_rows[-1][0] if video_rows else b""

    def ranges(self, record: type[Record], rows: int) -> list[Bounds]:
        """Ranges of videos with about so many rows of a table each."""
        return list(ALL.ranges(1 + self.extent(self.rows(record)).count // rows))

    def about(self, bounds: Bounds, record: type[R], *, gated: bool = True) -> list[R]:
        """The rows of a table about the videos of a range."""
        return from_arrow(record, self.table(self.rows(record, gated=gated).within(bounds), bounds))

    def all_rows(self, record: type[R]) -> list[R]:
        """All current rows of a table that gates let through."""
        return from_arrow(record, self.table(self.rows(record).sql))

    def open(self) -> None:
        """Connect now, before several threads ask for a few rows each, time and again: the footers of parts are read once."""
        # parts never change; of a million rows, reading their footers is half of what a query for one video takes
        self._database.execute("SET parquet_metadata_cache = true")

    def _rows(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        self._hash_parts_of(sql)
        with interruptible():
            return self._database.cursor().execute(sql, values).fetchall()

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(config=CONNECTION)

    def _commits(self, stage: AnyStage) -> list[Commit]:
        return self._by_variant[stage.name, base32(self.variant(stage))]

    def _parts(self, stage: AnyStage, table_name: str) -> tuple[Part, ...]:
        return tuple(part for commit in self._commits(stage) for part in commit.parts if part.table == table_name)

    def _is_complete(self, stage: AnyStage) -> bool:
        """The stage's outcomes are exactly its current inputs: nothing is pending and nothing is left over."""
        return extent_of(self._parts(stage, Outcome.table)) == self.extent(self.inputs(stage))

    def _has_unique_ids(self, record: type[Record], parts: tuple[Part, ...]) -> bool:
        """Whether no id stands twice in these parts. If the first halves of ids all differ, the ids do: a third of the cost."""
        parts_key = (record.table, *(part.name for part in parts))  # parts of one commit have one name, in each table
        if parts_key not in self._unique_parts:
            rows = RowSet(self._selects.of_all(parts, record), record, parts, is_whole=True)
            ranges = ALL.ranges(1 + sum(part.rows for part in parts) // RANGE_ROWS)
            ids_of_ranges = (self.table(f"SELECT id FROM ({rows.within(bounds)})", bounds).column("id") for bounds in ranges)
            self._unique_parts[parts_key] = all(map(all_differ, ids_of_ranges))
        return self._unique_parts[parts_key]

    def _collective_variant(self, stage: Collective[Item, Record]) -> Id:
        read_row_sets = [self.rows(record, before_stage=stage) for record in (stage.reads, *stage.also_reads)]
        extents = [self.extent(row_set) for row_set in read_row_sets]
        input_sums = [[rows.record.table, e.count, e.low, e.high] for rows, e in zip(read_row_sets, extents, strict=True)]
        return digest("set", [stage.variant, input_sums])

    def _listed(self, stage: AnyStage) -> RowSet:
        """Inputs that no stage made: a root's roster; of a missing stage, all that it settled."""
        if isinstance(stage, MissingStage):
            parts = self._parts(stage, Outcome.table)

            def settled(bounds: Bounds | None) -> str:
                outcomes_sql = self._selects.sql(schema(Outcome), self._selects.overlapping(parts, bounds))
                return f"SELECT input AS id, video FROM ({outcomes_sql})"

            return RowSet(settled, Record, parts, is_whole=True)
        if stage.name in self._scanned:
            scanned_sql = self._in_memory_sql(f"scanned_{stage.name}", self._scanned[stage.name])
            return RowSet(lambda _: scanned_sql, stage.reads, (), is_whole=False)
        roster = next((c for c in self.commits if c.stage == stage.name and c.kind == "roster"), None)
        parts = roster.of(stage.reads.table) if roster else ()
        all_listed = self._selects.of_all(parts, stage.reads, schema(stage.reads))
        if self._last_video is None:
            return RowSet(all_listed, stage.reads, parts, is_whole=True, is_distinct=True)
        in_pilot = f"{stage.reads.video_column} <= unhex('{self._last_video.hex()}')"
        return RowSet(
            lambda bounds: f"SELECT * FROM ({all_listed(bounds)}) WHERE {in_pilot}", stage.reads, parts, is_whole=False
        )

    def _made_by(self, stage: AnyStage, record: type[Record]) -> RowSet:
        stage_and_table = (stage.name, record.table)
        if stage_and_table not in self._rows_by_maker:
            parts = self._parts(stage, record.table)
            all_made = self._selects.of_all(parts, record)
            is_whole = not parts or self._is_complete(stage)

            def current(bounds: Bounds | None) -> str:
                inputs_sql = self.inputs(stage).sql if bounds is None else self._known_inputs_sql(stage)
                return f"SELECT * FROM ({all_made(bounds)}) r SEMI JOIN ({inputs_sql}) i ON r.made_from = i.id"

            self._rows_by_maker[stage_and_table] = RowSet(all_made if is_whole else current, record, parts, is_whole)
        return self._rows_by_maker[stage_and_table]

    def _known_inputs_sql(self, stage: AnyStage) -> str:
        """SQL of the ids of a stage's inputs, for a join with ranges of what it made: that may be about other videos, so every
        range needs them all. They are read once."""
        if stage.name not in self._known_inputs:
            ids_sql = f"SELECT id FROM ({self.inputs(stage).sql})"
            self._hash_parts_of(ids_sql)
            self._database.execute(f"CREATE SCHEMA IF NOT EXISTS {KNOWN}")
            with interruptible():
                self._database.execute(f'CREATE TABLE {KNOWN}."{stage.name}" AS {ids_sql}')
            self._known_inputs.add(stage.name)
        return f'SELECT id FROM {KNOWN}."{stage.name}"'

    def _in_memory_sql(self, name: str, rows: pa.Table) -> str:
        """SQL of rows that lie in no part. They get a table, since what is merely registered is unknown to other cursors."""
        self._database.register("coming", rows)
        self._database.execute(f"CREATE SCHEMA IF NOT EXISTS {HELD}")
        self._database.execute(f"CREATE TABLE IF NOT EXISTS {HELD}.{name} AS SELECT * FROM coming")
        self._database.unregister("coming")
        return f"SELECT * FROM {HELD}.{name}"
