"""Thresholds, an order, caps and balance as SQL over stored scores: what is kept, and why the rest is not.

Two 64-bit masks a subject say which filters have measured it and which of those it misses; a candidate's are those of itself,
of its task and of its video together. So a million candidates with eight scores each are decided in a second or two.
All that is known of a candidate belongs to its video, so a range of videos is decided at a time; only caps and balance count
over all of them. Names and values come as tables; the only text that becomes SQL stands in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import duckdb
import pyarrow as pa
from pydantic import Field

from dmforge.curation.contract.collective import View
from dmforge.curation.contract.stage_results import Key, Origin, Result, StageResults, settle
from dmforge.curation.lake.partition import Bounds
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate, Record

Said = Literal["source", "licence", "terms", "split", "video_source", "video_licence", "video_terms"]
Dimension = Literal["video", "kind", "source", "duration", "density"]
Score = Annotated[float, Field(ge=-1, le=1)]
"""A threshold, in the range of all scores."""
MAX_FILTERS = 62
UNDETERMINED = "undetermined: "
"""Begins the reason of a candidate that the scores at hand can't decide."""

_ORIGIN_COLUMNS: Mapping[str, str] = {
    "source": "t.source", "licence": "t.licence", "terms": "t.terms", "split": "t.split",
    "video_source": "p.source", "video_licence": "p.licence", "video_terms": "p.terms",
}  # fmt: skip
_DIMENSION_COLUMNS: Mapping[str, str] = {
    "video": "to_hex(c.video)", "kind": "t.task_kind", "source": "t.source",
    # 0 to 15 s, to 30 s, to 60 s, and so on, twice as long each time
    "duration": "CAST(15 * pow(2, greatest(0, ceil(log2(greatest(v.duration_cs, 1) / 1500)))) AS BIGINT) || ' s at most'",
    "density": "coalesce(c.looks[1].fps.num || '/' || c.looks[1].fps.den, 'none')",
}  # fmt: skip
_MEASURED = """
CREATE OR REPLACE TEMP TABLE measured AS
SELECT v.subject, v.video, any_value(v.subject_kind) AS kind, bit_or(1::BIGINT << l.position) AS known,
    bit_or(CASE WHEN v.score < l.least OR v.score > l.most THEN 1::BIGINT << l.position ELSE 0 END) AS failed,
    bit_or(CASE WHEN v.score > l.most THEN 1::BIGINT << l.position ELSE 0 END) AS above {scores}
FROM verdicts v JOIN named l ON l.filter = v.filter
WHERE v.video >= $low AND v.video < $high
GROUP BY v.subject, v.video
"""
_STANDING = """
CREATE OR REPLACE TEMP TABLE standing AS
SELECT c.id, c.video, c.task, c.attempt {dimensions} {scores},
    coalesce(a.known, 0) | coalesce(b.known, 0) | coalesce(d.known, 0) AS known,
    coalesce(a.failed, 0) | coalesce(b.failed, 0) | coalesce(d.failed, 0) AS failed,
    coalesce(a.above, 0) | coalesce(b.above, 0) | coalesce(d.above, 0) AS above,
    CASE WHEN p.role = 'benchmark' THEN 'its video is a benchmark''s' {lacking} {unwanted} END AS refused,
    CASE WHEN p.role = 'benchmark' THEN ''{lacking_values} {unwanted_values} END AS refused_value
FROM {subjects} c
    LEFT JOIN (SELECT * FROM measured WHERE kind = 'candidate') a ON a.subject = c.id AND a.video = c.video
    LEFT JOIN (SELECT * FROM measured WHERE kind = 'task') b ON b.subject = c.task AND b.video = c.video
    LEFT JOIN (SELECT * FROM measured WHERE kind = 'video') d ON d.subject = c.video AND d.video = c.video
    LEFT JOIN (SELECT * FROM provenances WHERE video >= $low AND video < $high) p ON p.video = c.video
    {tasks} {videos}
WHERE c.video >= $low AND c.video < $high
"""
_TASKS = "JOIN (SELECT * FROM tasks WHERE video >= $low AND video < $high) t ON t.id = c.task"
_VIDEOS = "LEFT JOIN (SELECT * FROM videos WHERE id >= $low AND id < $high) v ON v.id = c.video"
_DECIDED = """
CREATE OR REPLACE TEMP TABLE decided AS
WITH reasons AS (
    SELECT s.*, CASE
        WHEN refused IS NOT NULL THEN refused
        WHEN (failed & -failed & above) <> 0 THEN 'above threshold: ' || f.filter
        WHEN failed <> 0 THEN 'below threshold: ' || f.filter
        WHEN (known & $needed::BIGINT) <> $needed::BIGINT THEN '{undetermined}' || m.filter
    END AS reason, CASE WHEN refused IS NOT NULL THEN refused_value ELSE '' END AS detail,
    FROM standing s
        LEFT JOIN named f ON f.bit = s.failed & -s.failed
        LEFT JOIN named m ON m.bit = ($needed::BIGINT & ~s.known) & -($needed::BIGINT & ~s.known)
)
SELECT r.* REPLACE (CASE
    WHEN r.reason IS NOT NULL THEN r.reason
    WHEN h.id IS NOT NULL AND h.holds IS NULL THEN '{undetermined}--where'
    WHEN h.id IS NOT NULL AND NOT h.holds THEN 'not as --where says'
END AS reason)
FROM reasons r LEFT JOIN held h ON h.id = r.id
"""
_BEST = """
CREATE OR REPLACE TEMP TABLE best AS
SELECT id {counted}, row_number() OVER (PARTITION BY task ORDER BY {order} attempt, id) AS place
FROM decided d WHERE reason IS NULL
"""
_VERDICT_OF = """
CREATE OR REPLACE TEMP TABLE verdict_of AS
SELECT d.id, d.video, d.task, d.failed,
    CASE WHEN d.reason IS NOT NULL THEN d.reason WHEN b.place > 1 THEN 'another candidate of the task was kept'
        ELSE o.reason END AS reason,
    coalesce(o.detail, d.detail) AS detail
FROM decided d LEFT JOIN best b ON b.id = d.id LEFT JOIN dropped o ON o.id = d.id
"""


@dataclass(frozen=True, slots=True)
class SelectionRules:
    """What a candidate needs to be kept, and how many are kept."""

    min_scores: Mapping[str, float]
    only: Mapping[Said, list[str]]
    order: tuple[str, ...] = ()
    caps: Mapping[Dimension, int] | None = None
    balance: Mapping[Dimension, float] | None = None
    max_scores: Mapping[str, float] = field(default_factory=dict[str, float])
    min_scores_if_measured: Mapping[str, float] | None = None

    @property
    def filters(self) -> frozenset[str]:
        """The filters whose scores matter."""
        return frozenset({*self.thresholds, *self.max_scores, *self.order})

    @property
    def thresholds(self) -> Mapping[str, float]:
        """All least scores: what is required of all candidates wins over what is required if measured."""
        return {**(self.min_scores_if_measured or {}), **self.min_scores}


RANGE_SUBJECTS = 20_000
"""Candidates or tasks of a range of video ids that are decided at once."""
RANGE_COUNTED = 250_000
"""The same where they are only counted: the rows stay in DuckDB."""
AIMS = "aims"
"""The table of tasks in place of candidates, where tasks are selected: `id`, `video`, `task`, `attempt`, `looks` with the
target, and `lacks`, the reason why a task is unfit whatever its scores."""

Holds = Callable[[duckdb.DuckDBPyConnection], pa.Table]
"""A further condition: of the candidates in the table `standing`, `id` and whether the condition `holds`."""
CONDITION_SCHEMA = pa.schema([("id", pa.binary(16)), ("holds", pa.bool_())])


def let_through(view: View) -> str:
    """SQL of the candidates that gates let through: those of drawn tasks."""
    return f"({view.rows(Candidate).sql})"


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection: the candidates or tasks to choose from, and what is required of them."""

    connection: duckdb.DuckDBPyConnection
    requirements: SelectionRules
    ranges: Sequence[Bounds]
    """Ranges of video ids, low to high."""
    condition: Holds | None = None
    tasks_in_range: Callable[[Bounds], pa.Table] | None = None
    """The tasks of a range, where tasks are selected and not candidates."""
    candidates_sql: str = Candidate.table
    """The table or subquery that candidates are read from."""

    def decide_ranges(self) -> Iterator[Bounds]:
        """Make the temporary table `verdict_of` for one range after the other: `id`, `video`, `task`, `reason` (NULL for those
        that are kept), `detail`, `failed`."""
        filter_names = self._register_filters()
        self.connection.execute("CREATE OR REPLACE TEMP TABLE dropped (id BLOB, reason VARCHAR, detail VARCHAR)")
        if self._counted_dimensions:
            self._drop(filter_names)
        for video_range in self.ranges:
            if (
                not self._counted_dimensions or len(self.ranges) > 1
            ):  # else `_drop` has just done it, and a condition is asked once
                self._rank_fit(filter_names, video_range)
            self.connection.execute(_VERDICT_OF)
            yield video_range

    def standing_ranges(self) -> Iterator[Mapping[str, int]]:
        """Make the temporary table `standing` for one range after the other: what is known of each candidate, undecided. Yields
        the position of each filter's bit, and of its score `s0`, `s1`, ... where the order names it."""
        filter_names = self._register_filters()
        for video_range in self.ranges:
            self._gather_standing(filter_names, video_range)
            yield {name: position for position, name in enumerate(filter_names)}

    def settled(
        self, decisions_sql: str, origin: Origin, result: Callable[..., Result], makes: tuple[type[Record], ...]
    ) -> Iterator[StageResults]:
        """What a stage gives back for one range after the other: `result` of each row of `decisions_sql` over `verdict_of`."""
        for video_range in self.decide_ranges():
            decision_rows = self.connection.sql(decisions_sql, params=video_range).to_arrow_table().to_pylist()
            input_keys = [Key(decision_row["id"], decision_row["video"]) for decision_row in decision_rows]
            yield settle(origin, input_keys, [result(**decision_row) for decision_row in decision_rows], makes)

    @property
    def _counted_dimensions(self) -> list[Dimension]:
        return sorted({*(self.requirements.caps or {}), *(self.requirements.balance or {})})

    def _register_filters(self) -> list[str]:
        """Register the filters that matter as a table, in alphabetical order: the recipe's order is no part of the work key."""
        requirements, table_name = (
            self.requirements,
            "[stages.select_cot]" if self.tasks_in_range is None else "[stages.select_rl]",
        )
        filter_names = sorted(requirements.filters)
        if len(filter_names) > MAX_FILTERS:
            raise InputError(f"{len(filter_names)} filters", where=table_name, hint=f"name at most {MAX_FILTERS}")
        filters_table = pa.table({
            "filter": pa.array(filter_names, pa.string()),
            "least": pa.array([requirements.thresholds.get(filter_name) for filter_name in filter_names], pa.float64()),
            "most": pa.array([requirements.max_scores.get(filter_name) for filter_name in filter_names], pa.float64()),
            "position": pa.array(range(len(filter_names)), pa.int64()),
            "bit": pa.array([1 << filter_position for filter_position in range(len(filter_names))], pa.int64()),
        })  # fmt: skip
        self.connection.register("named", filters_table)
        return filter_names

    def _rank_fit(self, filter_names: list[str], bounds: Bounds) -> None:
        """Make the table of what is fit in a range, each with its place among those of its task."""
        requirements = self.requirements
        self._gather_standing(filter_names, bounds)
        self.connection.register(
            "held", CONDITION_SCHEMA.empty_table() if self.condition is None else self.condition(self.connection)
        )
        required_bits = sum(
            1 << filter_position
            for filter_position, filter_name in enumerate(filter_names)
            if filter_name in requirements.min_scores or filter_name in requirements.max_scores
        )
        self.connection.execute(_DECIDED.format(undetermined=UNDETERMINED), {"needed": required_bits})
        order_columns = "".join(f"s{filter_names.index(filter_name)} DESC NULLS LAST, " for filter_name in requirements.order)
        counted_columns = "".join(f", of_{counted_dimension}" for counted_dimension in self._counted_dimensions)
        self.connection.execute(_BEST.format(order=order_columns, counted=counted_columns))

    def _gather_standing(self, filter_names: list[str], bounds: Bounds) -> None:
        """Make the table `standing` of a range: each candidate with its masks, order scores and counted dimensions."""
        requirements, selects_tasks = self.requirements, self.tasks_in_range is not None
        if self.tasks_in_range is not None:
            self.connection.register(AIMS, self.tasks_in_range(bounds))
        positions = [filter_names.index(name) for name in requirements.order]
        score_columns = "".join(
            f", min(CASE WHEN l.position = {position} THEN v.score END) AS s{position}" for position in positions
        )
        self.connection.execute(_MEASURED.format(scores=score_columns), bounds)
        origin_names = sorted(requirements.only)
        origin_rows = [(name, allowed_value) for name in origin_names for allowed_value in requirements.only[name]]
        self.connection.register("wanted_values", pa.table({
            "name": pa.array([name for name, _ in origin_rows], pa.string()),
            "value": pa.array([allowed_value for _, allowed_value in origin_rows], pa.string()),
        }))  # fmt: skip
        unwanted_case = {
            name: f"WHEN {_ORIGIN_COLUMNS[name]} NOT IN (SELECT value FROM wanted_values WHERE name = '{name}')"
            for name in origin_names
        }
        lacking_case = " WHEN c.lacks IS NOT NULL THEN c.lacks" if selects_tasks else ""
        self.connection.execute(_STANDING.format(
            subjects=AIMS if selects_tasks else self.candidates_sql,
            lacking=lacking_case, lacking_values=lacking_case and " WHEN c.lacks IS NOT NULL THEN ''",
            dimensions="".join(f", {_DIMENSION_COLUMNS[name]} AS of_{name}" for name in self._counted_dimensions),
            scores="".join(f", least(a.s{position}, b.s{position}, d.s{position}) AS s{position}" for position in positions),
            unwanted=" ".join(f"{unwanted_case[name]} THEN 'not wanted: {name}'" for name in origin_names),
            unwanted_values=" ".join(f"{unwanted_case[name]} THEN {_ORIGIN_COLUMNS[name]}" for name in origin_names),
            tasks=_TASKS if self._counted_dimensions or origin_names else "",
            videos=_VIDEOS if "duration" in self._counted_dimensions else "",
        ), bounds)  # fmt: skip

    def _drop(self, filter_names: list[str]) -> None:
        """Drop what is over a cap or balanced away, over all ranges. In each class the lowest ids stay: ids are random."""
        for range_index, video_range in enumerate(self.ranges):
            self._rank_fit(filter_names, video_range)
            insert_sql = "CREATE OR REPLACE TEMP TABLE left_over AS" if range_index == 0 else "INSERT INTO left_over"
            self.connection.execute(f"{insert_sql} SELECT * FROM best WHERE place = 1")
        for dimension, max_per_class in sorted((self.requirements.caps or {}).items()):
            self._drop_over(dimension, "over its cap: ", "$most", {"most": max_per_class})
        for dimension, balance_factor in sorted((self.requirements.balance or {}).items()):
            limit_sql = f"(SELECT ceil($times * min(n)) FROM (SELECT count(*) AS n FROM left_over GROUP BY of_{dimension}))"
            self._drop_over(dimension, "balanced away: ", limit_sql, {"times": balance_factor})

    def _drop_over(self, dimension: str, reason: str, limit_sql: str, sql_values: dict[str, float]) -> None:
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE over AS SELECT id, of_{dimension} AS class FROM left_over
            QUALIFY row_number() OVER (PARTITION BY of_{dimension} ORDER BY id) > {limit_sql}
            """,
            sql_values,
        )
        self.connection.execute("INSERT INTO dropped SELECT id, $reason, class FROM over", {"reason": reason + dimension})
        self.connection.execute("CREATE OR REPLACE TEMP TABLE left_over AS SELECT * FROM left_over ANTI JOIN over USING (id)")


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str | None, int]:
    """The number of candidates of a range by reason; None for those that are kept."""
    return dict(connection.execute("SELECT reason, count(*) FROM verdict_of GROUP BY ALL").fetchall())
