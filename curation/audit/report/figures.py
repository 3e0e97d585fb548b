"""What is counted over the whole lake, in SQL: sizes, what is looked at and how densely, scores beside their thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

BINS = 20
"""Of the histogram of a score."""
MOST_ROWS = 10
"""Of a table of kinds or sources; the others are counted together."""
_LOOKED = """
CREATE OR REPLACE TEMP TABLE looked AS
SELECT c.looks[1].fps AS fps, (c.looks[1].window.end_cs - c.looks[1].window.start_cs) / 100 AS length_s,
    c.looks[1].window.start_cs / nullif(v.duration_cs, 0) AS begins, t.task_kind AS kind, t.source,
    v.duration_cs / 100 AS duration_s, c.window_source, s.candidate IS NOT NULL AS kept
FROM candidates c LEFT JOIN tasks t ON t.id = c.task LEFT JOIN videos v ON v.id = c.video
    LEFT JOIN (SELECT DISTINCT candidate FROM samples WHERE candidate IS NOT NULL) s ON s.candidate = c.id
"""
_DOUBLING = "CAST(ceil(log2(greatest({0}, {1}) / {1})) AS INT)"
"""The class of a length: up to the first bound, up to twice that, and so on."""
_SCORES = f"""
SELECT filter, least(CAST(floor(score * {BINS}) AS INT), {BINS} - 1) AS bin, count(*) AS n, sum(score) AS total
FROM verdicts GROUP BY ALL ORDER BY filter, bin
"""
_BELOW = """
SELECT v.filter, count(*) FROM verdicts v JOIN thresholds t ON t.filter = v.filter WHERE v.score < t.least GROUP BY v.filter
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a table: how many there are, and how many of them are kept."""

    label: str
    kept: int
    all: int


@dataclass(frozen=True, slots=True)
class Bars:
    """A distribution."""

    title: str
    about: str
    bars: tuple[Bar, ...]

    @property
    def most(self) -> int:
        return max((bar.all for bar in self.bars), default=0)


@dataclass(frozen=True, slots=True)
class Scores:
    """How the scores of one filter lie, from 0 to 1."""

    filter: str
    counts: tuple[int, ...]
    mean: float
    least: float | None
    below: int

    @property
    def n(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the summary."""

    name: str
    value: str


def summary(connection: duckdb.DuckDBPyConnection) -> list[Figure]:
    """How large it all is."""
    videos, seconds = _row(connection, "SELECT count(*), coalesce(sum(duration_cs), 0) / 100 FROM videos")
    (tasks,) = _row(connection, "SELECT count(*) FROM tasks")
    (candidates,) = _row(connection, "SELECT count(*) FROM candidates")
    corpora = connection.execute("SELECT corpus, count(*) FROM samples GROUP BY corpus ORDER BY corpus").fetchall()
    length = f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.1f} min"
    found = [Figure("videos", f"{videos:,}"), Figure("of video", length), Figure("tasks", f"{tasks:,}")]
    found += [Figure("candidates", f"{candidates:,}")]
    return [*found, *(Figure(f"samples in {corpus}", f"{number:,}") for corpus, number in corpora)]


def distributions(connection: duckdb.DuckDBPyConnection) -> list[Bars]:
    """What candidates look at, and of what kind they are; those that have nothing to show are left out."""
    connection.execute(_LOOKED)
    about = "candidates; the coloured part is kept"
    lengths = _classes(connection, "length_s", 1)
    found = [
        Bars("Length of the window", f"{about}, by seconds that the first look spans", _bounds(lengths, 1)),
        Bars("Where the window begins", f"{about}, by the part of the video that has passed", _tenths(connection)),
        Bars("Density", f"{about}, by frames per second of the first look", _by(
            connection, "CASE WHEN fps.den = 1 THEN CAST(fps.num AS VARCHAR) ELSE fps.num || '/' || fps.den END || ' fps'",
            "looked WHERE fps IS NOT NULL", "min(fps.num / fps.den)",
        )),
        Bars("Length of the video", f"{about}, by seconds", _bounds(_classes(connection, "duration_s", 15), 15)),
        Bars("Kind of question", about, _by(connection, "kind", "looked WHERE kind IS NOT NULL")),
        Bars("Source of the question", about, _by(connection, "source", "looked WHERE kind IS NOT NULL")),
        Bars("Who chose the window", about, _by(connection, "window_source", "looked WHERE window_source <> ''")),
    ]  # fmt: skip
    return [bars for bars in found if bars.bars]


def scores(connection: duckdb.DuckDBPyConnection, least: Mapping[str, float]) -> list[Scores]:
    """Of each filter how its scores lie, and how many miss the threshold."""
    connection.execute("CREATE OR REPLACE TEMP TABLE thresholds (filter VARCHAR, least DOUBLE)")
    if least:
        connection.executemany("INSERT INTO thresholds VALUES (?, ?)", [list(pair) for pair in sorted(least.items())])
    below = dict(connection.execute(_BELOW).fetchall())
    counts: dict[str, list[int]] = {}
    totals: dict[str, float] = {}
    for name, bin_, number, total in connection.execute(_SCORES).fetchall():
        counts.setdefault(name, [0] * BINS)[max(0, bin_)] += number
        totals[name] = totals.get(name, 0.0) + total
    return [
        Scores(name, tuple(bins), totals[name] / sum(bins), least.get(name), below.get(name, 0))
        for name, bins in counts.items()
    ]


def _by(connection: duckdb.DuckDBPyConnection, label: str, rows: str, order: str = "-count(*)") -> tuple[Bar, ...]:
    """Counted by a label; what stands far behind is one line."""
    sql = f"SELECT {label} AS label, count_if(kept), count(*) FROM {rows} GROUP BY label ORDER BY {order}, label"
    bars = [Bar(*row) for row in connection.execute(sql).fetchall()]
    rest = bars[MOST_ROWS:]
    more = [Bar(f"{len(rest)} others", sum(b.kept for b in rest), sum(b.all for b in rest))] if rest else []
    return (*bars[:MOST_ROWS], *more)


def _classes(connection: duckdb.DuckDBPyConnection, column: str, first: int) -> list[tuple[int, int, int]]:
    known = f"FROM looked WHERE {column} IS NOT NULL"
    sql = f"SELECT {_DOUBLING.format(column, first)} AS class, count_if(kept), count(*) {known} GROUP BY 1 ORDER BY 1"
    return connection.execute(sql).fetchall()


def _bounds(classes: Sequence[tuple[int, int, int]], first: int) -> tuple[Bar, ...]:
    """Each class by its bounds, empty ones between them as well."""
    if not classes:
        return ()
    found = {which: (kept, every) for which, kept, every in classes}
    named = [(which, first * 2**which) for which in range(min(found), max(found) + 1)]
    return tuple(
        Bar(f"{end // 2:,} to {end:,} s" if which else f"up to {end:,} s", *found.get(which, (0, 0))) for which, end in named
    )


def _tenths(connection: duckdb.DuckDBPyConnection) -> tuple[Bar, ...]:
    # behind the end: a look that begins after its video
    sql = """
        SELECT least(greatest(CAST(floor(begins * 10) AS INT), 0), 10) AS tenth, count_if(kept), count(*)
        FROM looked WHERE begins IS NOT NULL GROUP BY 1 ORDER BY 1
    """
    found = {tenth: (kept, every) for tenth, kept, every in connection.execute(sql).fetchall()}
    labels = [*(f"{n * 10} to {n * 10 + 10} %" for n in range(10)), "behind its end"]
    shown = range(11 if 10 in found else 10)
    return tuple(Bar(labels[n], *found.get(n, (0, 0))) for n in shown) if found else ()


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    return connection.execute(sql).fetchall()[0]
