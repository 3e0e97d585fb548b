"""Thresholds, an order, caps and balance as SQL over stored scores: what becomes of each candidate, and why.

Two 64-bit masks a subject say which filters have measured it and which of those it misses; a candidate's are those of itself,
of its task and of its video together. So a million candidates with eight scores each are decided in a second or two.
Scores of a candidate are about its video, so some videos are decided at a time; only what caps count is seen at once.
Names and values come as tables; the only text that becomes SQL stands in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import duckdb
import pyarrow as pa
from pydantic import Field

from dmforge.curation.lake.shares import Bounds
from dmforge.curation.lake.views import View
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate

Said = Literal["source", "licence", "terms", "split", "video_source", "video_licence", "video_terms"]
Dimension = Literal["video", "kind", "source", "duration", "density"]
Score = Annotated[float, Field(ge=-1, le=1)]
"""A threshold: no verdict says more or less."""
MOST_FILTERS = 62
UNDETERMINED = "undetermined: "
"""Begins the reason of what the scores at hand can't decide."""

_SAID: Mapping[str, str] = {
    "source": "t.source", "licence": "t.licence", "terms": "t.terms", "split": "t.split",
    "video_source": "p.source", "video_licence": "p.licence", "video_terms": "p.terms",
}  # fmt: skip
_DIMENSION: Mapping[str, str] = {
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
class Wanted:
    """What a candidate needs to be kept, and how many are."""

    least: Mapping[str, float]
    only: Mapping[Said, list[str]]
    order: tuple[str, ...] = ()
    caps: Mapping[Dimension, int] | None = None
    balance: Mapping[Dimension, float] | None = None
    most: Mapping[str, float] = field(default_factory=dict[str, float])
    least_if_measured: Mapping[str, float] | None = None

    @property
    def filters(self) -> frozenset[str]:
        """Whose scores matter."""
        return frozenset({*self.thresholds, *self.most, *self.order})

    @property
    def thresholds(self) -> Mapping[str, float]:
        """All of them. One that is asked for either way is asked for of all."""
        return {**(self.least_if_measured or {}), **self.least}


RANGE_SUBJECTS = 20_000
"""Candidates or tasks of a range of video ids that are decided at once."""
AIMS = "aims"
"""Tasks in the place of candidates, where it is tasks that are selected: `id`, `video`, `task`, `attempt`, `looks` with their
target, and `lacks`, what makes it unfit before any score is asked."""

Holds = Callable[[duckdb.DuckDBPyConnection], pa.Table]
"""Of the candidates in `standing` those that a further condition is asked about: `id`, and whether it `holds`."""
HELD = pa.schema([("id", pa.binary(16)), ("holds", pa.bool_())])


def let_through(view: View) -> str:
    """SQL of the candidates that gates let through: those of drawn tasks."""
    return f"({view.rows(Candidate).sql})"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected from, and by what."""

    connection: duckdb.DuckDBPyConnection
    wanted: Wanted
    ranges: Sequence[Bounds]
    """Of the ids of videos, low to high."""
    holds: Holds | None = None
    aims: Callable[[Bounds], pa.Table] | None = None
    """The tasks of a range, where it is tasks that are selected."""
    candidates: str = Candidate.table
    """Where they are read from."""

    def decided(self) -> Iterator[Bounds]:
        """Make the temporary table `verdict_of` of one range after the other: `id`, `video`, `task`, `reason` (NULL where it is
        kept), `detail`, `failed`."""
        names = self._named()
        self.connection.execute("CREATE OR REPLACE TEMP TABLE dropped (id BLOB, reason VARCHAR, detail VARCHAR)")
        if self._counted:
            self._drop(names)
        for bounds in self.ranges:
            if not self._counted or len(self.ranges) > 1:  # else it has just been found, and a condition is asked once
                self._best(names, bounds)
            self.connection.execute(_VERDICT_OF)
            yield bounds

    @property
    def _counted(self) -> list[Dimension]:
        return sorted({*(self.wanted.caps or {}), *(self.wanted.balance or {})})

    def _named(self) -> list[str]:
        """The filters that matter as a table, by the alphabet: the recipe's own order is no part of the work key."""
        wanted, where = self.wanted, "[stages.select_cot]" if self.aims is None else "[stages.select_rl]"
        names = sorted(wanted.filters)
        if len(names) > MOST_FILTERS:
            raise InputError(f"{len(names)} filters", where=where, mend=f"name at most {MOST_FILTERS}")
        table = pa.table({
            "filter": pa.array(names, pa.string()),
            "least": pa.array([wanted.thresholds.get(name) for name in names], pa.float64()),
            "most": pa.array([wanted.most.get(name) for name in names], pa.float64()),
            "position": pa.array(range(len(names)), pa.int64()),
            "bit": pa.array([1 << position for position in range(len(names))], pa.int64()),
        })  # fmt: skip
        self.connection.register("named", table)
        return names

    def _best(self, names: list[str], bounds: Bounds) -> None:
        """What of a range is fit, and the place that it has among those of its task."""
        wanted = self.wanted
        self._stand(names, bounds)
        self.connection.register("held", HELD.empty_table() if self.holds is None else self.holds(self.connection))
        needed = sum(1 << position for position, name in enumerate(names) if name in wanted.least or name in wanted.most)
        self.connection.execute(_DECIDED.format(undetermined=UNDETERMINED), {"needed": needed})
        order = "".join(f"s{names.index(name)} DESC NULLS LAST, " for name in wanted.order)
        counted = "".join(f", of_{name}" for name in self._counted)
        self.connection.execute(_BEST.format(order=order, counted=counted))

    def _stand(self, names: list[str], bounds: Bounds) -> None:
        """Each with its masks, what it is ordered by, and what is counted of it; joined to what is asked for."""
        wanted, tasks = self.wanted, self.aims is not None
        if self.aims is not None:
            self.connection.register(AIMS, self.aims(bounds))
        ordering = [names.index(name) for name in wanted.order]
        scores = "".join(f", min(CASE WHEN l.position = {at} THEN v.score END) AS s{at}" for at in ordering)
        self.connection.execute(_MEASURED.format(scores=scores), bounds)
        said = sorted(wanted.only)
        rows = [(name, value) for name in said for value in wanted.only[name]]
        self.connection.register("wanted_values", pa.table({
            "name": pa.array([name for name, _ in rows], pa.string()),
            "value": pa.array([value for _, value in rows], pa.string()),
        }))  # fmt: skip
        unmet = {name: f"WHEN {_SAID[name]} NOT IN (SELECT value FROM wanted_values WHERE name = '{name}')" for name in said}
        lacking = " WHEN c.lacks IS NOT NULL THEN c.lacks" if tasks else ""
        self.connection.execute(_STANDING.format(
            subjects=AIMS if tasks else self.candidates,
            lacking=lacking, lacking_values=lacking and " WHEN c.lacks IS NOT NULL THEN ''",
            dimensions="".join(f", {_DIMENSION[name]} AS of_{name}" for name in self._counted),
            scores="".join(f", least(a.s{at}, b.s{at}, d.s{at}) AS s{at}" for at in ordering),
            unwanted=" ".join(f"{unmet[name]} THEN 'not wanted: {name}'" for name in said),
            unwanted_values=" ".join(f"{unmet[name]} THEN {_SAID[name]}" for name in said),
            tasks=_TASKS if self._counted or said else "",
            videos=_VIDEOS if "duration" in self._counted else "",
        ), bounds)  # fmt: skip

    def _drop(self, names: list[str]) -> None:
        """Who is over a cap, or balanced away, of all ranges together. Of each class the first by id stay, a fair draw."""
        for nth, bounds in enumerate(self.ranges):
            self._best(names, bounds)
            first = "CREATE OR REPLACE TEMP TABLE left_over AS" if nth == 0 else "INSERT INTO left_over"
            self.connection.execute(f"{first} SELECT * FROM best WHERE place = 1")
        for dimension, most in sorted((self.wanted.caps or {}).items()):
            self._drop_over(dimension, "over its cap: ", "$most", {"most": most})
        for dimension, times in sorted((self.wanted.balance or {}).items()):
            least = f"(SELECT ceil($times * min(n)) FROM (SELECT count(*) AS n FROM left_over GROUP BY of_{dimension}))"
            self._drop_over(dimension, "balanced away: ", least, {"times": times})

    def _drop_over(self, dimension: str, reason: str, limit: str, values: dict[str, float]) -> None:
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE over AS SELECT id, of_{dimension} AS class FROM left_over
            QUALIFY row_number() OVER (PARTITION BY of_{dimension} ORDER BY id) > {limit}
            """,
            values,
        )
        self.connection.execute("INSERT INTO dropped SELECT id, $reason, class FROM over", {"reason": reason + dimension})
        self.connection.execute("CREATE OR REPLACE TEMP TABLE left_over AS SELECT * FROM left_over ANTI JOIN over USING (id)")


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str | None, int]:
    """How many of a range have which reason; None are those that are kept."""
    return dict(connection.execute("SELECT reason, count(*) FROM verdict_of GROUP BY ALL").fetchall())
